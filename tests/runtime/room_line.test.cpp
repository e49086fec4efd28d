// The line of exchanges that wait for room in the link: who tries, in what order, and what becomes of the order.
#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <nuncio/tunnel/room_line.hpp>
#include <string>

namespace room_line_test {

using namespace nuncio;

// As much of http_exchange as the line asks for.
struct progress {
  struct {
    int next_index = 0;
  } at;

  bool bulk = true;

  [[nodiscard]] const auto& position() const { return at; }

  [[nodiscard]] bool bulky() const { return bulk; }
};

struct response : room_line_place {
  explicit response(char n) : name(n) {}

  char name;
  progress exchange;
};

struct fixture {
  std::deque<std::unique_ptr<response>> all;
  room_line<response> line;
  std::string tried;

  response& add(char name) {
    all.push_back(std::make_unique<response>(name));
    line.join(*all.back());
    return *all.back();
  }

  std::string order() const {
    std::string out;
    line.for_each([&](const response& x) { out += x.name; });
    return out;
  }

  // `room` messages fit; each has one left after that.
  void free(int room) {
    tried.clear();
    line.handle_room([&](response& x) {
      tried += x.name;
      if (room > 0) --room, ++x.exchange.at.next_index;
      line.join(x);
      return &x;
    });
  }
};

TEST_CASE("room line: one that made progress goes to the end, the others keep their places") {
  fixture x;
  for (const auto name : {'a', 'b', 'c', 'd'}) x.add(name);
  x.free(2);
  CHECK(x.tried == "abcd");
  CHECK(x.order() == "cdab");
  x.free(1);
  CHECK(x.order() == "dabc");
  x.free(0);
  CHECK(x.order() == "dabc");
}

TEST_CASE("room line: nobody tries after a short message found no room") {
  fixture x;
  x.add('a');
  x.add('b').exchange.bulk = false;
  x.add('c');
  x.free(0);
  CHECK(x.tried == "ab");
  CHECK(x.order() == "abc");
}

TEST_CASE("room line: one that has sent all, or is gone, is in line no more") {
  fixture x;
  for (const auto name : {'a', 'b', 'c'}) x.add(name);
  x.line.handle_room([&](response& tries) -> response* {
    if (tries.name == 'a') return &tries;         // nothing is left to send
    x.all.erase(x.all.begin() + 1, x.all.end());  // b ends, and c with it
    return nullptr;
  });
  CHECK(x.order().empty());
  CHECK(x.line.empty());
}

TEST_CASE("room line: joining again changes nothing") {
  fixture x;
  auto& a = x.add('a');
  x.add('b');
  x.line.join(a);
  CHECK(x.order() == "ab");
  a.unlink();
  CHECK(x.order() == "b");
}

}  // namespace room_line_test
