/*
 * power_loss: records what a process writes to some files and when it syncs them, so that a loss of power can be acted
 * out afterwards; it can also make the syncs fail.
 *
 * Loaded with LD_PRELOAD. POWER_LOSS_FOLDER is what the files' paths begin with, POWER_LOSS_LOG the log, which the
 * parent reads after the process was killed; POWER_LOSS_SYNCS, where set, is how many syncs succeed before all others
 * fail with EIO. Each record is: kind (1 byte), file number (4), offset (8), length (4), bytes. Kinds: 'N' a file got
 * a number (the bytes are its path), 'W' bytes were written, 'T' the file was cut to the offset, 'S' it was synced,
 * 'U' the path was removed. A record goes out in one write to a descriptor of its own, opened O_APPEND, before the
 * call returns.
 *
 * Memory-mapped files are not recorded: SQLite maps only the index of its log, which a recovery makes anew.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_DESCRIPTORS 65536

static uint32_t numbers[MAX_DESCRIPTORS]; /* descriptor -> file number, 0 where it is not ours */
static uint32_t last_number;
static int log_descriptor = -1;
static const char *folder;
static long syncs_left = -1; /* -1 for any number */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static void record(char kind, uint32_t number, int64_t offset, const void *bytes, uint32_t length) {
    char head[17];
    head[0] = kind;
    memcpy(head + 1, &number, 4);
    memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &length, 4);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)bytes, length}};
    if (writev(log_descriptor, parts, 2) < 0)
        abort();
}

__attribute__((constructor)) static void begin(void) {
    folder = getenv("POWER_LOSS_FOLDER");
    const char *path = getenv("POWER_LOSS_LOG");
    if (folder && path)
        log_descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const char *syncs = getenv("POWER_LOSS_SYNCS");
    if (syncs)
        syncs_left = atol(syncs);
}

static int fails(uint32_t number) {
    if (!number || syncs_left < 0)
        return 0;
    if (syncs_left == 0) {
        errno = EIO;
        return 1;
    }
    syncs_left--;
    return 0;
}

static int is_ours(const char *path) {
    return log_descriptor >= 0 && path && strncmp(path, folder, strlen(folder)) == 0 && !strstr(path, "-shm");
}

static int opened(const char *path, int descriptor) {
    if (descriptor >= 0 && descriptor < MAX_DESCRIPTORS && is_ours(path)) {
        struct stat status;
        if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) {
            pthread_mutex_lock(&lock);
            numbers[descriptor] = ++last_number;
            record('N', last_number, 0, path, (uint32_t)strlen(path));
            pthread_mutex_unlock(&lock);
        }
    }
    return descriptor;
}

#define OPEN(name)                                                                                                    \
    int name(const char *path, int flags, ...) {                                                                      \
        va_list rest;                                                                                                 \
        va_start(rest, flags);                                                                                        \
        mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0;                                                   \
        va_end(rest);                                                                                                 \
        int (*next)(const char *, int, ...) = real(#name);                                                            \
        return opened(path, next(path, flags, mode));                                                                 \
    }
OPEN(open)
OPEN(open64)

int close(int descriptor) {
    int (*next)(int) = real("close");
    if (descriptor >= 0 && descriptor < MAX_DESCRIPTORS)
        numbers[descriptor] = 0;
    return next(descriptor);
}

static uint32_t number_of(int descriptor) {
    return descriptor >= 0 && descriptor < MAX_DESCRIPTORS ? numbers[descriptor] : 0;
}

static ssize_t wrote(int descriptor, const void *bytes, ssize_t done, int64_t offset) {
    uint32_t number = number_of(descriptor);
    if (number && done > 0) {
        pthread_mutex_lock(&lock);
        record('W', number, offset, bytes, (uint32_t)done);
        pthread_mutex_unlock(&lock);
    }
    return done;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) {
    ssize_t (*next)(int, const void *, size_t, off_t) = real("pwrite");
    return wrote(descriptor, bytes, next(descriptor, bytes, length, offset), offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
    ssize_t (*next)(int, const void *, size_t, off64_t) = real("pwrite64");
    return wrote(descriptor, bytes, next(descriptor, bytes, length, offset), offset);
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
    ssize_t (*next)(int, const void *, size_t) = real("write");
    int64_t offset = number_of(descriptor) ? lseek(descriptor, 0, SEEK_CUR) : 0;
    return wrote(descriptor, bytes, next(descriptor, bytes, length), offset);
}

#define CUT(name, type)                                                                                               \
    int name(int descriptor, type length) {                                                                           \
        int (*next)(int, type) = real(#name);                                                                         \
        int answer = next(descriptor, length);                                                                        \
        if (answer == 0 && number_of(descriptor)) {                                                                   \
            pthread_mutex_lock(&lock);                                                                                \
            record('T', number_of(descriptor), length, "", 0);                                                        \
            pthread_mutex_unlock(&lock);                                                                              \
        }                                                                                                             \
        return answer;                                                                                                \
    }
CUT(ftruncate, off_t)
CUT(ftruncate64, off64_t)

#define SYNC(name)                                                                                                    \
    int name(int descriptor) {                                                                                        \
        int (*next)(int) = real(#name);                                                                               \
        int answer = fails(number_of(descriptor)) ? -1 : next(descriptor);                                            \
        if (answer == 0 && number_of(descriptor)) {                                                                   \
            pthread_mutex_lock(&lock);                                                                                \
            record('S', number_of(descriptor), 0, "", 0);                                                             \
            pthread_mutex_unlock(&lock);                                                                              \
        }                                                                                                             \
        return answer;                                                                                                \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    int (*next)(const char *) = real("unlink");
    int answer = next(path);
    if (answer == 0 && is_ours(path)) {
        pthread_mutex_lock(&lock);
        record('U', 0, 0, path, (uint32_t)strlen(path));
        pthread_mutex_unlock(&lock);
    }
    return answer;
}
