// Reading KV page by page.
#include <doctest/doctest.h>

#include <map>
#include <nuncio/storage/kv_pages.hpp>

namespace nuncio::test::kv_pages_test {
namespace {

// Reads all, from a store that takes pages of so many entries at most; -1: it gives up.
int read_all(const std::map<std::string, int>& store, kv_pages pages, std::size_t page_max) {
  int sum = 0;
  for (;;) {
    std::size_t n = 0;
    std::string last;
    int found = 0;
    for (auto at = store.lower_bound(std::string{pages.first().view()});
         at != store.end() && at->first < pages.last().view() && n < pages.limit();
         ++at, ++n) {
      last = at->first;
      found += at->second;
    }
    if (n > page_max) {
      if (!pages.handle_too_long()) return -1;
      continue;
    }
    sum += found;
    if (!pages.handle_page(n, bytes{last})) return sum;
  }
}

}  // namespace

TEST_CASE("2.1: reading page by page covers the whole range, each entry once") {
  std::map<std::string, int> store{{"a", 1000}, {"c", 1000}};
  // Keys that are prefixes of each other, and ends of bytes.
  for (const auto* key : {"b", "b1", "b11", "b2", "b\xff", "b\xff\xff"}) store.emplace(key, 1);
  store.emplace(std::string("b\0", 2), 1);
  for (std::size_t entries = 1; entries <= 9; ++entries)
    for (std::size_t page_max = 1; page_max <= 9; ++page_max)
      CHECK(read_all(store, {bytes{"b"}, bytes{"c"}, entries}, page_max) == 7);
}

TEST_CASE("after a key of maximum length comes the next one of that length") {
  kv_pages pages{bytes{"b"}, bytes{"c"}, 1};
  const std::string longest(kv_limits::key_bytes_max, 'b');
  CHECK(pages.handle_page(1, bytes{longest}));
  CHECK(pages.first().view() == longest.substr(1) + 'c');
  auto last = std::string(kv_limits::key_bytes_max, '\xff');
  last[0] = 'b';
  CHECK(pages.handle_page(1, bytes{last}));
  CHECK(pages.first().view() == "c");
  last[0] = '\xff';
  CHECK_FALSE(pages.handle_page(1, bytes{last}));
}

TEST_CASE("an empty range is one page") {
  kv_pages pages{bytes{"b"}, bytes{"c"}};
  CHECK_FALSE(pages.handle_page(0, {}));
}

TEST_CASE("a page that is too long is requested with half as many entries, down to one") {
  kv_pages pages{bytes{"b"}, bytes{"c"}, 4};
  CHECK(pages.handle_too_long());
  CHECK(pages.limit() == 2);
  CHECK(pages.first().view() == "b");
  CHECK(pages.handle_too_long());
  CHECK(pages.limit() == 1);
  CHECK_FALSE(pages.handle_too_long());
}

}  // namespace nuncio::test::kv_pages_test
