// What the plugin has of its own: nothing, the link is the test.
extern "C" int plugin() { return 0; }
