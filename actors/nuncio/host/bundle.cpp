// See bundle.hpp.
#include <nuncio/host/bundle.hpp>

namespace nuncio {

bundle::bundle(caf::actor_system& system, bundle_options options)
    : link_(std::make_shared<link>(actors_, std::move(options.link))) {
  actors_.spawn(
      system,
      {.link = link_,
       .counts = std::make_shared<counters>(),
       .ingress = std::move(options.ingress),
       .storage = std::move(options.storage),
       .on_ask = std::move(options.on_ask)});
}

bundle::~bundle() { link_->stop(); }

void bundle::start(dial_terms terms) {
  if (auto started = link_->start(std::move(terms)); !started) fail(started.error());
}

void bundle::end(bool system_over) {
  link_->stop();  // nothing is sent to the actors after this
  actors_.end(system_over);
}

void bundle::add_to(host_stats& sum) const {
  actors_.add_to(sum);
  add(sum.link, link_->stats());
}

}  // namespace nuncio
