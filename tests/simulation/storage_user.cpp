// See storage_user.hpp.
#include "simulation/storage_user.hpp"

#include <utility>

namespace nuncio::simulation {

storage_user::storage_user(storage_surroundings in, std::shared_ptr<const instance_base> of)
    : in_(in),
      of_(std::move(of)),
      who_(of_->start.self),
      uses_(in_.random.percent(in_.habits.uses)),
      lazy_(in_.random.percent(in_.habits.lazy)) {}

void storage_user::begin(std::function<void()> then) {
  if (!uses_) return then();
  if (in_.random.percent(in_.habits.pages)) open_database();
  live_on();
  if (in_.random.percent(30)) return then();
  if (in_.random.percent(50)) return act(moment::start, std::move(then));
  act(moment::start, nullptr);
  then();
}

void storage_user::handle_request() {
  if (uses_ && !down_ && in_.random.percent(60)) act(moment::request, nullptr);
}

bool storage_user::end(bool quits) {
  if (uses_ && quits && (calm() || in_.random.percent(50)))
    write(
        moment::last_words,
        in_.random.percent(60) ? write_mode::required : write_mode::once,
        false,
        nullptr);
  down_ = true;
  if (used_) in_.side.end(who_);
  return used_;
}

// -- what it asks ---------------------------------------------------------------------------

// Some requests at a time; `then` after the last of them.
void storage_user::act(moment when, next then) {
  for (auto n = in_.random.below(in_.habits.often); n > 0; --n) {
    if (in_.random.percent(50))
      write(when, in_.random.percent(70) ? write_mode::once : write_mode::repeated, false, nullptr);
    else
      read(false, nullptr);
  }
  const auto awaited = in_.random.percent(20);
  if (in_.random.percent(60))
    write(when, write_mode::once, awaited, std::move(then));
  else
    read(awaited, std::move(then));
}

void storage_user::live_on() {
  for (auto n = in_.random.below(4); n > 0; --n)
    in_.time.after(
        in_.random.percent(30) ? in_.random.between(0ms, 80ms) : in_.random.between(0ms, 25s),
        side::actors,
        [self = shared_from_this()] {
          if (!self->down_ && !self->calm()) self->act(moment::alone, nullptr);
        });
}

void storage_user::open_database() {
  pages_ = std::make_shared<pages_user>(
      pages_surroundings{in_.time, in_.random, in_.watch},
      who_,
      in_.habits.large,
      pages_user::ports{
          .down = [self = weak_from_this()] { return self.expired() || self.lock()->down_; },
          .ask =
              [self = weak_from_this()](
                  storage_call what, std::function<void(const storage_result&)> then) {
                const auto asking = self.lock();
                if (!asking || asking->down_) return;
                asking->ask(
                    {.what = std::move(what),
                     .mode = write_mode::once,
                     .awaited = true,
                     .judge = {},
                     .then = [then = std::move(then)](const storage_result& x, std::size_t) {
                       then(x);
                     }});
              }});
  pages_->go(calm() ? 1 : 1 + static_cast<int>(in_.random.below(6)));
}

stored_place storage_user::some_place() {
  if (in_.random.percent(40)) return stored_place::row;
  return static_cast<stored_place>(in_.random.below(3));
}

void storage_user::write(moment when, write_mode mode, bool awaited, next then) {
  const auto at = some_place();
  const bool row = at == stored_place::row;
  if (row) mode = write_mode::once;
  const bool erases = !row && in_.random.percent(20);
  const auto number = in_.watch.handle_write(who_, at, erases, mode, when);
  ask(
      {.what = make_write({at, number, erases}, in_.random.next() % 6),
       .mode = mode,
       .awaited = awaited,
       .judge =
           [&watch = in_.watch, number](const storage_result& x) {
             watch.handle_told(number, std::get_if<storage_failure>(&x));
           },
       .then =
           [then = std::move(then)](const storage_result&, std::size_t) {
             if (then) then();
           }});
}

void storage_user::read(bool awaited, next then) {
  const auto at = some_place();
  ask(
      {.what = make_read(at, in_.random.next() % 2),
       .mode = write_mode::once,
       .awaited = awaited,
       .judge =
           [&watch = in_.watch, who = who_, at, newest = in_.watch.newest()](
               const storage_result& x) {
             if (const auto* answer = std::get_if<storage_answer>(&x))
               watch.handle_read(who, at, number_read(*answer).value(), newest);
           },
       .then =
           [then = std::move(then)](const storage_result&, std::size_t) {
             if (then) then();
           }});
}

void storage_user::ask(storage_side::call what) {
  used_ = true;
  const auto awaited = what.awaited;
  awaited_ += awaited ? 1U : 0U;
  what.then = [self = shared_from_this(), awaited, then = std::move(what.then)](
                  const storage_result& x, std::size_t bytes) {
    if (self->down_) return;
    if (awaited) {
      --self->awaited_;
      self->handle(then, x, bytes);
      while (self->awaited_ == 0 && !self->unhandled_.empty()) {
        const auto next = std::move(self->unhandled_.front());
        self->unhandled_.pop_front();
        next();
      }
    } else if (self->awaited_ != 0 || !self->unhandled_.empty()) {
      self->unhandled_.push_back([self, then, x, bytes] { self->handle(then, x, bytes); });
    } else {
      self->handle(then, x, bytes);
    }
  };
  in_.side.ask(of_, std::move(what));
}

void storage_user::handle(storage_side::answered then, const storage_result& x, std::size_t bytes) {
  if (bytes != 0)
    in_.time.after(
        lazy_ && !calm() ? in_.random.between(0s, 5s) : in_.random.between(0ms, 20ms),
        side::actors,
        [self = shared_from_this(), bytes] {
          if (!self->down_) self->in_.side.consume(self->who_, bytes);
        });
  then(x, bytes);
}

}  // namespace nuncio::simulation
