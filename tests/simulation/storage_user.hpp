// What stands for an actor's use of storage in layer one, one for each instance: it reads what earlier generations have
// stored, writes as it starts, for clients, by itself and as its last words, and may keep a local database. It hears of
// nothing once it is down.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "simulation/pages_user.hpp"
#include "simulation/storage_side.hpp"

namespace nuncio::simulation {

struct storage_surroundings {
  scheduler& time;
  chance& random;
  storage_watch& watch;
  storage_side& side;
  const storage_habits& habits;
  const bool& calm;
};

class storage_user : public std::enable_shared_from_this<storage_user> {
public:
  storage_user(storage_surroundings in, std::shared_ptr<const instance_base> of);

  /// It starts: `then` once it has what it needs.
  void begin(std::function<void()> then);
  /// A client has asked for something.
  void handle_request();
  /// It is down. @returns whether storage must say when its last write is answered
  bool end(bool quits);

private:
  using next = std::function<void()>;

  [[nodiscard]] bool calm() const { return in_.calm && !in_.habits.restless; }

  stored_place some_place();
  void act(moment when, next then);
  void write(moment when, write_mode mode, bool awaited, next then);
  void read(bool awaited, next then);
  void ask(storage_side::call what);
  void handle(storage_side::answered then, const storage_result& x, std::size_t bytes);
  void live_on();
  void open_database();

  storage_surroundings in_;
  std::shared_ptr<const instance_base> of_;
  actor_ref who_;
  bool uses_ = false, lazy_ = false, used_ = false, down_ = false;
  unsigned awaited_ = 0;
  std::deque<std::function<void()>> unhandled_;  ///< answers, while it awaits one
  std::shared_ptr<pages_user> pages_;
};

}  // namespace nuncio::simulation
