// The plugin's own code: none; linking is the test.
extern "C" int plugin() { return 0; }
