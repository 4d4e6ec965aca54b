"""The text on every volume: how to get the data back without this program."""

README = """\
磁带备份卷：如何恢复
====================

本卷由 Tapeline 写入。没有 Tapeline 也能恢复，只需要 tar 和 zstd。

目录结构
    sets/<备份集>/set.json                   备份集的说明，最先写入
    sets/<备份集>/data-000001.tar[.zst]      归档：POSIX tar (pax)，可能用 zstd 压缩
    sets/<备份集>/index-000001.jsonl.zst     该归档的文件清单，每行一个 JSON
    sets/<备份集>/complete.json              最后写入，在备份集的最后一盘磁带上；任何一盘上都没有它，
                                             备份集才不完整。其中 "archives" 列出全部有效的归档、
                                             其 SHA-256 及所在磁带的标签 ("label")
    sets/<备份集>/database.sql.zst           写入该备份集时 Tapeline 自己的数据库

恢复整个备份集（按编号顺序，只取 complete.json 中列出的归档）
    cd sets/<备份集>
    zstd -dc data-000001.tar.zst data-000002.tar.zst ... |
        tar -xipf - --xattrs --xattrs-include='*' -C /恢复到/这里
    未压缩的归档：用 cat 代替 zstd -dc

一个备份集可能跨多盘磁带
    本卷有 set.json 和归档而没有 complete.json：备份集在另一盘磁带上继续，请勿丢弃本盘。每盘磁带上都有
    sets/<备份集>，其中是写在该盘上的归档。最后一盘的 complete.json 列出全部归档，"label" 是归档所在磁带
    写入时的标签。按归档编号的顺序逐盘放入磁带，把每盘上列出的归档用上面的命令解到同一目录。
    最后一盘遗失时，其余各盘上的归档仍可照样恢复。

很大的文件分成若干段存放（NAME.tapeline-xxxxxxxx-part-000001、-000002……），可能跨多盘磁带
    把所有磁带上的归档都解开后，在 bash 中按编号顺序拼接：
    find /恢复到/这里 -name '*.tapeline-????????-part-000001' -print0 |
    while IFS= read -r -d '' first; do
        parts=${first%000001}; file=${first%.tapeline-*}
        cat "$parts"?????? > "$file" && cp -a --attributes-only "$first" "$file" && rm "$parts"??????
    done
    清单中该文件的 "pieces" 是段数，"size" 是总字节数。段名过长时文件名会被截短，原名也在清单中。
    长转储亦然：空的 -part-000001 最后写入，没有它则不完整。

只恢复一个文件（归档内的路径不带开头的 /）
    for i in index-*.jsonl.zst; do zstd -dc "$i" | grep -F '/home/user/文件' && echo "$i"; done
    zstd -dc data-000001.tar.zst | tar -xpf - --xattrs --xattrs-include='*' -C /恢复到/这里 home/user/文件
    硬链接的内容存放在它的第一个名字下（清单中的 "target"），可能在编号更小的归档里，请一并恢复。

加密的备份集（文件名以 .age 结尾，密钥不在备份主机上）
    age -d -i key.txt data-000001.tar.zst.age | zstd -d | tar -xipf - -C /恢复到/这里

增量和差异备份集（set.json 中有 "parent"）
    先恢复它的上级，再依次在同一目录恢复后面的备份集，最后删除清单中标为 deleted 的路径：
    zstd -dc index-*.jsonl.zst | grep -F '"type":"deleted"'

恢复 Tapeline 自己的数据库（取最新的备份集；恢复到空数据库）
    createdb tapeline && zstd -dc database.sql.zst | psql tapeline

检查归档是否完好
    sha256sum data-000001.tar.zst     与 complete.json 中的值比较


Tape backup volume: how to restore
==================================

Tapeline wrote this volume. It can be restored without Tapeline: tar and zstd are enough.

What is where
    sets/<set>/set.json                   what the backup set is; written first
    sets/<set>/data-000001.tar[.zst]      an archive: POSIX tar (pax), perhaps compressed with zstd
    sets/<set>/index-000001.jsonl.zst     the files of that archive, one JSON object a line
    sets/<set>/complete.json              written last, on the last tape of the set; a set that has it on none
                                          of its tapes is not complete. Its "archives" are all archives that
                                          count, with their SHA-256 and the "label" of the tape they are on
    sets/<set>/database.sql.zst           Tapeline's own database when the set was written

Restore a whole set (in order of number, only the archives that complete.json lists)
    cd sets/<set>
    zstd -dc data-000001.tar.zst data-000002.tar.zst ... |
        tar -xipf - --xattrs --xattrs-include='*' -C /restore/here
    archives that are not compressed: cat in place of zstd -dc

A set may lie on several tapes
    This volume has set.json and archives but no complete.json: the set goes on on another tape. Keep both.
    Each tape has sets/<set> with the archives that were written to it. The complete.json on the last tape
    lists the archives of all of them; "label" is the label that the archive's tape had then. Put the tapes
    in one after the other, in order of the archives' numbers, and unpack the listed archives of each, as
    above, into the same folder. If the last tape is lost, the archives on the others still come back so.

A very long file lies in pieces (NAME.tapeline-xxxxxxxx-part-000001, -000002 ...), perhaps on several tapes
    When all archives of all tapes are unpacked, put the pieces together, in bash:
    find /restore/here -name '*.tapeline-????????-part-000001' -print0 |
    while IFS= read -r -d '' first; do
        parts=${first%000001}; file=${first%.tapeline-*}
        cat "$parts"?????? > "$file" && cp -a --attributes-only "$first" "$file" && rm "$parts"??????
    done
    In the list of files "pieces" says how many there are, and "size" how long the file is. Where the name of
    a piece would be too long, that of the file is cut short in it: the list of files has it.
    So does a long dump: its empty -part-000001 was written last. One without it is not whole.

Restore one file (paths in an archive have no leading /)
    for i in index-*.jsonl.zst; do zstd -dc "$i" | grep -F '/home/user/file' && echo "$i"; done
    zstd -dc data-000001.tar.zst | tar -xpf - --xattrs --xattrs-include='*' -C /restore/here home/user/file
    The content of a hard link lies under its first name ("target" in the list of files), perhaps in an
    archive of a lower number: restore that too.

An encrypted set (names end with .age; the key is not on the host that wrote it)
    age -d -i key.txt data-000001.tar.zst.age | zstd -d | tar -xipf - -C /restore/here

An incremental or differential set (its set.json has a "parent")
    Restore the parent first, then each following set over it, and remove the paths that are called deleted:
    zstd -dc index-*.jsonl.zst | grep -F '"type":"deleted"'

Tapeline's own database (of the newest set; into an empty database)
    createdb tapeline && zstd -dc database.sql.zst | psql tapeline

See whether an archive is sound
    sha256sum data-000001.tar.zst     and compare with complete.json
"""
