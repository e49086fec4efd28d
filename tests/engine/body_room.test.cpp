// How much request bodies may take together, tested by calls.
#include <doctest/doctest.h>

#include <engine/body_room.hpp>
#include <string>

namespace body_room_test {

using nuncio::testing::engine::body_room;

namespace {

struct fixture {
  void ask(const char& who, std::size_t n) {
    room.ask(&who, n, [this, who] { got += who; });
  }

  void give_back(const char& who) { room.give_back(&who); }

  body_room room{100};
  std::string got;  // by whom, in order
  const char a = 'a', b = 'b', c = 'c', d = 'd';
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "bodies get room in the order of their requests, and wait for it") {
  ask(a, 60);
  ask(b, 60);
  ask(c, 10);  // would fit, but is not first
  CHECK(got == "a");
  give_back(a);
  CHECK(got == "abc");
  CHECK(room.taken() == 70);
}

TEST_CASE_FIXTURE(fixture, "a body that is longer than all the room goes alone") {
  ask(a, 500);
  ask(b, 1);
  CHECK(got == "a");
  give_back(a);
  CHECK(got == "ab");
}

TEST_CASE_FIXTURE(fixture, "what a body takes is what it asked for, and all of it comes back") {
  ask(a, 10);
  ask(a, 20);
  CHECK(room.taken() == 30);
  give_back(a);
  CHECK(room.taken() == 0);
  give_back(a);
  CHECK(room.taken() == 0);
}

TEST_CASE_FIXTURE(fixture, "of bodies that grow, one goes on beyond the limit, the others wait") {
  ask(a, 50);
  ask(b, 50);
  ask(a, 50);
  ask(b, 50);
  ask(c, 1);
  CHECK(got == "aba");
  ask(a, 100);
  CHECK(got == "abaa");
  CHECK(room.taken() == 250);
  give_back(a);
  CHECK(got == "abaab");  // which has begun, before c
  CHECK(room.taken() == 100);
  give_back(b);
  CHECK(got == "abaabc");
}

TEST_CASE_FIXTURE(fixture, "a body that is dropped waits for nothing, and makes room") {
  ask(a, 50);
  ask(b, 50);
  ask(a, 50);
  ask(c, 1);
  ask(b, 60);
  CHECK(got == "aba");
  give_back(a);
  CHECK(got == "abab");  // beyond the limit, as a was before
  CHECK(room.taken() == 110);
  ask(d, 1);
  give_back(c);
  give_back(b);
  CHECK(got == "ababd");
  CHECK(room.taken() == 1);
}

}  // namespace body_room_test
