# A text of 8 MiB, compressed.

work() { gzip -n < /bench/text > text.gz; }
result() { sha256sum < text.gz | cut -c 1-64; }
