/* What the `exec` of system.c executes: the smallest program that a C compiler makes. */
int main(void) { return 1; }
