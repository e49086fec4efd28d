// How the actors of a run use storage, and within which limits; drawn from the seed.
#pragma once

#include <nuncio/host_options.hpp>
#include <nuncio/storage/answer_flow.hpp>

namespace nuncio::simulation {

struct storage_habits {
  unsigned uses = 0;      ///< instances that store anything, percent
  unsigned pages = 0;     ///< of these, with a local database, percent
  unsigned large = 0;     ///< of its transactions, in stages, percent
  unsigned lazy = 0;      ///< instances that take long to handle answers, percent
  unsigned often = 1;     ///< requests at a time, at most
  bool restless = false;  ///< they store as much in the calm time
  storage_limits limits{};
  answer_flow_limits flow{};
};

}  // namespace nuncio::simulation
