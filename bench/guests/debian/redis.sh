# Redis and its own benchmark, over loopback in one guest: 20 clients, one request at a time each.

prepare() {
  redis-server --save '' --appendonly no --bind 127.0.0.1 > redis.log 2>&1 &
  until [ "$(redis-cli ping 2> /dev/null)" = PONG ]; do sleep 0.05; done
}

work() { redis-benchmark -q -c 20 -n 600 -t get,incr > benchmark.log 2>&1; }

result() { echo "$(redis-cli get counter:__rand_int__)"; }
