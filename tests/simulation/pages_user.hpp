// An actor's local SQLite database on sqlite_pages, one for each instance that opens it: transactions that read, write, shrink
// and commit while answers are lost. Judges that reads return what was committed, by whichever generation, and that no commit
// that happened is reported as failed, or the other way round.
#pragma once

#include <functional>
#include <memory>
#include <nuncio/storage/sqlite_pages.hpp>

#include "simulation/storage_watch.hpp"

namespace nuncio::simulation {

struct pages_surroundings {
  scheduler& time;
  chance& random;
  storage_watch& watch;
};

class pages_user : public std::enable_shared_from_this<pages_user> {
public:
  struct ports {
    /// Its instance is: nothing is done any more.
    std::function<bool()> down;
    /// Asks storage; `then` is not called when its instance is down.
    std::function<void(storage_call, std::function<void(const storage_result&)> then)> ask;
  };

  pages_user(pages_surroundings in, const actor_ref& who, unsigned large_percent, ports to);

  /// Opens it, and makes that many transactions one after the other.
  void go(int transactions);

private:
  using next = std::function<void(const outcome<void>&)>;

  void run(next then);
  void open();
  void handle_opened();
  void next_transaction();
  void begin_transaction();
  void read(std::uint32_t pgno, unsigned more);
  void change();
  bool shrink();
  void write(std::uint32_t pgno);
  void put(std::uint32_t pgno, std::uint32_t version);
  void commit();
  void handle_committed(const outcome<void>& done);
  void roll_back();
  void handle_broken();

  void count(pages_row r) { in_.watch.seen.transactions.count(r, size_); }

  [[nodiscard]] const page_model& truth() const { return in_.watch.store->pages(who_.actor); }

  /// Somebody else has committed since it was opened.
  [[nodiscard]] bool by_another() const { return truth().others != others_; }

  [[nodiscard]] storage_watch::pages_of_actor& ours() { return in_.watch.pages(who_.actor); }

  pages_surroundings in_;
  actor_ref who_;
  ports to_;
  sqlite_pages_options options_;
  sqlite_pages pages_;
  int left_ = 0;
  unsigned large_percent_ = 0;
  database work_;  ///< the open transaction
  pages_size size_{};
  bool large_ = false, opened_before_ = false;
  std::optional<std::uint64_t> head_before_;
  std::uint64_t probes_before_ = 0, others_ = 0;
  bool lost_ = false;      ///< an answer of this transaction said nothing
  bool refused_ = false;   ///< one that no try again could change
  unsigned attempts_ = 0;  ///< answers of this transaction that said nothing
};

}  // namespace nuncio::simulation
