"""
Backup files on a disk or in a bucket: written block by block, checked before they are believed, noted where erased.
"""
