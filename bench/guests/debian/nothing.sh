# Boots and powers off: what the others do beside their work.

work() { :; }
result() { echo nothing; }
