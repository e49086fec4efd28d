# `tools/dev test`: which suites run under which preset, how they are counted and timed.
# Sourced by tools/dev. A part that cannot be built or has no tests counts as failed, never as skipped.

passed=0
failed=0
timings=()
wanted=() # phases of this run
ahead=''  # a descriptor that says which presets have been built ahead

command_test() {
  local all=no
  local -a phases=()
  while (($#)); do
    case $1 in
      --all) all=yes ;;
      --phase)
        [[ ${2:-} =~ ^(release|e2e|debug|asan|tsan|fuzz|lint|mutants)$ ]] || die "test --phase: no phase '${2:-}'"
        phases+=("$2")
        shift
        ;;
      *) die "test: no option '$1'; try tools/dev help" ;;
    esac
    shift
  done
  if ((${#phases[@]} == 0)); then
    phases=(release e2e asan tsan fuzz lint mutants)
    [[ $all == no ]] || phases=(release e2e debug asan tsan fuzz lint mutants)
  fi
  if [[ $all == yes ]]; then need_disk 12; else need_disk 6; fi

  local phase started=$SECONDS
  wanted=("${phases[@]}")
  timed install test_packages "${phases[@]}"
  for phase in "${phases[@]}"; do timed "$phase" "phase_$phase" "$all"; done

  say "times"
  printf '%s\n' "${timings[@]}" >&2
  printf '%-10s %5d s\n' all $((SECONDS - started)) >&2
  ((${#problems[@]} == 0)) || printf 'failed: %s\n' "${problems[@]}" >&2
  echo "$passed passed, $failed failed"
  ((failed == 0))
}

timed() {  # timed NAME COMMAND...
  local from=$SECONDS name=$1
  shift
  "$@" || true # every part books its own failures
  timings+=("$(printf '%-10s %5d s' "$name" $((SECONDS - from)))")
}

problems=()
book_failure() {
  failed=$((failed + 1))
  problems+=("$1")
  complain "FAILED: $1"
}

test_packages() {
  install_packages "${build_packages[@]}"
  if [[ " $* " == *' fuzz '* ]]; then install_packages "${fuzz_packages[@]}"; fi
  if [[ " $* " == *' lint '* ]]; then install_packages "${lint_packages[@]}"; fi
}

# -- phases ---------------------------------------------------------------------------------------

phase_release() {
  prepared release '' || return
  build_ahead "$1"
  if [[ $1 == no ]]; then counted release "$(test_jobs)" -LE '^e2e-|-long$'; else counted release "$(test_jobs)" -LE '^e2e-'; fi
}

phase_debug() {
  await_ahead debug
  suite debug '' -LE '^e2e-' || return
  [[ $1 == no ]] || end_to_end debug "$1"
}

# The real engine is part of the suite: if it is not available, that is a failure.
phase_e2e() {
  prepared release '' || return
  build_ahead "$1"
  end_to_end release "$1"
}

# Builds what later phases need while tests mostly wait, at the lowest priority.
build_ahead() {  # build_ahead ALL
  [[ -z $ahead ]] || return 0
  exec {ahead}< <(built_ahead "$1" 2>build/ahead.log)
}

built_ahead() {  # built_ahead ALL: prints the name of each preset once it is done
  chrt --idle --pid 0 "$BASHPID" || return
  local phase target
  for phase in "${wanted[@]}"; do
    [[ $phase =~ ^(debug|asan|tsan|fuzz)$ ]] || continue
    target=''
    if [[ $1/$phase =~ ^no/.san$ ]]; then target=sanitizer_suites; fi
    prepared "$phase" "$target" || true
    echo "$phase"
  done
}

# A preset that failed there is built again, and its failure counted, in its own phase.
await_ahead() {  # await_ahead PRESET
  local over
  [[ -n $ahead ]] || return 0
  while read -r -u "$ahead" over; do
    [[ $over != "$1" ]] || return 0
  done
}

phase_asan() { sanitized asan "$1"; }

phase_tsan() { sanitized tsan "$1"; }

phase_fuzz() {
  await_ahead fuzz
  suite fuzz ''
}

# The house rules are tests of the release phase.
phase_lint() {
  if [[ $1 == yes ]]; then
    judged lint command_lint
  else
    judged clang-format lint_format
    judged clang-tidy lint_tidy --changed
  fi
}

phase_mutants() {
  if [[ $1 == yes ]]; then judged mutants command_mutants; else judged 'sample of mutants' command_mutants --sample; fi
}

judged() {  # judged NAME COMMAND...: counts as one test
  if ("${@:2}" >&2); then passed=$((passed + 1)); else book_failure "$1"; fi
}

# Without --all only the suites that are worth their time: state machines, codec and actors.
sanitized() {  # sanitized PRESET ALL
  await_ahead "$1"
  if [[ $2 == no ]]; then
    suite "$1" sanitizer_suites -L '^(unit|actor)$'
  else
    suite "$1" '' -LE '^e2e-' || return
    [[ $1 == tsan ]] || end_to_end "$1" "$2"
  fi
}

end_to_end() {  # end_to_end PRESET ALL
  local path
  local -a but=()
  [[ $2 == yes ]] || but=(-LE '^e2e-long$')
  if path=$(engine_path); then
    say "real engine: $("$path" --version | head -1), $path"
    NUNCIO_RIVET_ENGINE=$path counted "$1" "${NUNCIO_E2E_JOBS:-4}" -L '^e2e-' "${but[@]}"
    "build/$1/bin/e2e_tests" table "build/$1/tests/end_to_end/results" >&2 || true # ctest has judged it
  else
    book_failure "the real engine is not available (see above), so its suite cannot pass"
    counted "$1" "${NUNCIO_E2E_JOBS:-4}" -L '^e2e-dev$' "${but[@]}"
  fi
}

# -- building and counting ------------------------------------------------------------------------

prepared() {  # prepared PRESET TARGET: configured and built; a TARGET that does not exist means all
  local preset=$1 target=$2
  configure "$preset" >&2 || { book_failure "configuring preset $preset"; return 1; }
  if [[ -n $target ]]; then
    local targets
    targets=$(cmake --build "build/$preset" --target help)
    grep -q "^$target:" <<<"$targets" || target=''
  fi
  build "$preset" ${target:+"$target"} >&2 || { book_failure "building preset $preset"; return 1; }
}

suite() {  # suite PRESET TARGET CTEST-SELECTION...
  local preset=$1 target=$2
  shift 2
  prepared "$preset" "$target" && counted "$preset" "$(test_jobs)" "$@"
}

# About half of the time of all suites is spent waiting.
test_jobs() { echo $((2 * $(jobs_now))); }

# Adds up what ctest's report says. A test that did not run, for whatever reason, has failed.
counted() {  # counted PRESET JOBS CTEST-SELECTION...
  local preset=$1 jobs=$2
  shift 2
  local report="$root/build/$preset/report.xml"
  rm -f "$report"
  say "ctest, preset $preset: ${*:-everything}"
  ctest --preset "$preset" --parallel "$jobs" --no-tests=ignore --output-junit "$report" "$@" >&2 || true
  if [[ ! -s $report ]]; then
    book_failure "ctest under preset $preset left no report"
    return 1
  fi
  local total good
  total=$(grep -c '<testcase ' "$report" || true)
  good=$(grep -c '<testcase .*status="run"' "$report" || true)
  if ((total == 0)); then
    book_failure "preset $preset has no tests for: ${*:-everything}"
    return 1
  fi
  passed=$((passed + good))
  failed=$((failed + total - good))
  local name
  while read -r name; do problems+=("$preset: $name"); done < <(
    grep '<testcase ' "$report" | grep -v 'status="run"' | sed -E 's/.*<testcase name="([^"]*)".*/\1/')
  awk -v preset="$preset" '/\[doctest\] test cases:/ { n += $4; p += $6; s += $12 }
    END { if (n) printf "preset %s: %d doctest cases in these suites, %d passed, %d skipped\n", preset, n, p, s }' \
    "build/$preset/Testing/Temporary/LastTest.log" >&2 || true
  ((total == good))
}
