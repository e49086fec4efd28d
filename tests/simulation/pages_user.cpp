// See pages_user.hpp.
#include "simulation/pages_user.hpp"

#include <set>
#include <utility>

namespace nuncio::simulation {
namespace {

constexpr const char* check = "pages";
constexpr unsigned reads_max = 3;

// An answer after which nobody can know whether it was done.
bool says_nothing(const storage_failure& why) {
  return why.may_have_happened ||
         (why.code == errc::refused && why.engine_code == "core/internal_error");
}

}  // namespace

pages_user::pages_user(
    pages_surroundings in, const actor_ref& who, unsigned large_percent, ports to)
    : in_(in), who_(who), to_(std::move(to)), large_percent_(large_percent) {
  options_.clean_bytes_max = sqlite_pages::page_bytes * (2 + in_.random.below(100));
  options_.attempts_max = 1 + static_cast<unsigned>(in_.random.below(8));
}

void pages_user::go(int transactions) {
  left_ = transactions;
  open();
}

// One request after the other, until there are no more.
void pages_user::run(next then) {
  auto call = pages_.poll_transmit();
  if (!call) return then(pages_.take_outcome());
  to_.ask(
      std::move(*call),
      [self = shared_from_this(), then = std::move(then)](const storage_result& x) {
        if (const auto* why = std::get_if<storage_failure>(&x)) {
          const auto nothing = says_nothing(*why);
          self->attempts_ += nothing ? 1U : 0U;
          self->lost_ = self->lost_ || nothing;
          self->refused_ = self->refused_ || !nothing;
        }
        self->pages_.handle_result(x);
        self->run(then);
      });
}

void pages_user::open() {
  pages_ = sqlite_pages{options_};
  pages_.begin_open();
  run([self = shared_from_this()](const outcome<void>& done) {
    if (done) return self->handle_opened();
    if (self->left_ > 0)
      self->in_.time.after(self->in_.random.between(0ms, 8s), side::actors, [self] {
        if (!self->to_.down()) self->open();
      });
  });
}

void pages_user::handle_opened() {
  auto& all = ours();
  must(pages_.size() == truth().now.size, check, "opened with another size");
  must(
      truth().now == all.committed || (all.maybe && truth().now == *all.maybe),
      check,
      "a database is found that nobody has committed");
  if (!opened_before_ && all.by.generation != 0 && all.by.generation < who_.generation)
    count(pages_row::opened_by_another_generation);
  if (opened_before_) count(pages_row::opened_again);
  opened_before_ = true;
  others_ = truth().others;
  all.committed = truth().now;
  all.maybe.reset();
  work_ = all.committed;
  next_transaction();
}

void pages_user::next_transaction() {
  if (left_ <= 0 || pages_.broken()) return;
  --left_;
  in_.time.after(
      in_.random.percent(60) ? in_.random.between(0ms, 50ms) : in_.random.between(0ms, 5s),
      side::actors,
      [self = shared_from_this()] {
        if (!self->to_.down()) self->begin_transaction();
      });
}

void pages_user::begin_transaction() {
  large_ = in_.random.percent(large_percent_);
  size_ = large_ ? pages_size::staged : pages_size::one_commit;
  lost_ = refused_ = false;
  attempts_ = 0;
  if (work_.size > 0 && in_.random.percent(50))
    read(1 + static_cast<std::uint32_t>(in_.random.below(work_.size)), reads_max);
  else
    change();
}

void pages_user::read(std::uint32_t pgno, unsigned more) {
  if (pages_.broken()) return handle_broken();
  if (const auto page = pages_.find(pgno)) {
    const auto at = work_.pages.find(pgno);
    must(
        version_in(*page) == (at == work_.pages.end() ? 0 : at->second),
        check,
        "another page reads back than was written");
    count(pages_row::read);
    return change();
  }
  if (more == 0) return change();
  pages_.begin_fetch(pgno);
  run([self = shared_from_this(), pgno, more](const outcome<void>&) {
    self->read(pgno, more - 1);
  });
}

void pages_user::write(std::uint32_t pgno) {
  work_.pages[pgno] = in_.watch.next_version();
  work_.size = std::max(work_.size, pgno);
}

// A transaction that shrinks states the new size on page 1; the file is cut when it is committed.
bool pages_user::shrink() {
  if (work_.size < 2 || !in_.random.percent(20)) return false;
  count(pages_row::shrunk);
  work_.size = 1 + static_cast<std::uint32_t>(in_.random.below(work_.size));
  work_.pages.erase(work_.pages.upper_bound(work_.size), work_.pages.end());
  return true;
}

void pages_user::change() {
  lost_ = refused_ = false;  // of its commit, from here on
  attempts_ = 0;
  const auto most = !large_ && shrink() ? work_.size : work_.size + 12;
  std::set<std::uint32_t> which{1};  // SQLite counts changes there, and the size
  const auto from = 1 + static_cast<std::uint32_t>(in_.random.below(700));
  for (auto n = large_ ? 321 + in_.random.below(150) : in_.random.below(8); n > 0; --n)
    which.insert(static_cast<std::uint32_t>(large_ ? from + n : 1 + in_.random.below(most)));
  for (const auto pgno : which) write(pgno);
  for (const auto pgno : which) put(pgno, work_.pages[pgno]);
  commit();
}

void pages_user::put(std::uint32_t pgno, std::uint32_t version) {
  must(pages_.write(pgno, make_page(pgno, version, work_.size)).ok(), check, "a write was refused");
}

void pages_user::commit() {
  head_before_ = truth().head;
  probes_before_ = pages_.stats().probes;
  ours().maybe = work_;
  ours().by = who_;
  pages_.begin_commit(7);
  run([self = shared_from_this()](const outcome<void>& done) { self->handle_committed(done); });
}

void pages_user::handle_committed(const outcome<void>& done) {
  if (pages_.stats().probes != probes_before_) count(pages_row::probed);
  if (pages_.broken()) return handle_broken();
  // It can't tell a change of somebody else's from its own commit whose answer was lost.
  if (by_another() && lost_) {
    ours().committed = truth().now;
    return ours().maybe.reset();
  }
  if (!done) {
    must(
        refused_ || attempts_ > options_.attempts_max,
        check,
        "a commit failed that could have been tried again");
    must(truth().head == head_before_, check, "a commit is said to have failed that happened");
    count(pages_row::commit_failed);
    ours().maybe.reset();
    return roll_back();
  }
  count(lost_ ? pages_row::committed_though_lost : pages_row::committed);
  must(!by_another(), check, "committed over somebody else's change");
  must(truth().head == head_before_.value_or(0) + 1, check, "committed not once");
  must(truth().now == work_, check, "something else was committed");
  ours().committed = work_;
  ours().maybe.reset();
  pages_.truncate(work_.size);
  if (in_.random.percent(20)) return open();
  next_transaction();
}

// As SQLite does it: what was there is written back, and the file cut.
void pages_user::roll_back() {
  count(pages_row::rolled_back);
  const auto& before = ours().committed;
  if (before.size == 0) return open();
  const auto tried = std::exchange(work_, before);
  pages_.truncate(work_.size);
  for (const auto& [pgno, version] : tried.pages) {
    const auto at = work_.pages.find(pgno);
    const auto was = at == work_.pages.end() ? 0 : at->second;
    if (pgno <= work_.size && was != version) put(pgno, was);
  }
  next_transaction();
}

// For good, as far as this instance goes.
void pages_user::handle_broken() {
  count(by_another() ? pages_row::broken_by_another : pages_row::broken_by_doubt);
  const std::string_view why = pages_.broken()->message;
  must(by_another() || lost_, check, "broken for no reason");
  must(by_another() || !why.starts_with("somebody else"), check, "taken for somebody else");
}

}  // namespace nuncio::simulation
