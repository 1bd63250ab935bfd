# A shell's day: arithmetic, patterns, functions, subshells and small programs.

collatz() {
  n=$1
  steps=0
  while [ "$n" -ne 1 ]; do
    case $n in
      *[13579]) n=$((3 * n + 1)) ;;
      *) n=$((n / 2)) ;;
    esac
    steps=$((steps + 1))
  done
}

work() {
  sum=0
  first=1
  while [ $first -lt 200 ]; do
    collatz $first
    sum=$((sum * 31 % 1000003 + steps))
    first=$((first + 1))
  done
  word=start
  for each in 1 2 3 4 5; do
    for other in 1 2 3 4 5 6 7 8 9 10; do
      word=$(echo "$word$each" | busybox md5sum | busybox cut -c "$other-32")
    done
  done
}

result() { echo "$sum $word"; }
