# The digest of a text of 8 MiB, five times.

work() {
  for each in 1 2 3 4 5; do sha256sum /bench/text; done > digests
}

result() { sort -u digests | cut -c 1-64; }
