# `tools/dev lint`: formatting, clang-tidy and the house rules. Sourced by tools/dev.
# clang-tidy needs most of a minute for a file with actors. So `tools/dev test` checks some of the changed files, chosen by
# the newest commit, and `tools/dev test --all` checks everything.

changed_units_max=3

command_lint() {
  local failed=0
  [[ ${1:-} =~ ^(--changed)?$ ]] || die "lint: no option '$1'; try tools/dev help"
  need_disk 3
  packages_for release
  install_packages "${lint_packages[@]}"
  lint_format || failed=1
  lint_tidy "${1:---all}" || failed=1
  configure debug
  build debug bin/nuncio_tidy && build/debug/bin/nuncio_tidy "$root" || failed=1
  ((failed == 0)) || die "lint found something: see above"
  say "lint: clean"
}

lint_format() {
  local -a sources
  mapfile -t sources < <(our_sources)
  say "clang-format on ${#sources[@]} files"
  clang-format-14 --dry-run --Werror "${sources[@]}"
}

in_git() { [[ $(git rev-parse --is-inside-work-tree 2>/dev/null) == true ]]; }

our_sources() {
  if in_git; then
    git ls-files '*.hpp' '*.cpp'
  else  # an unpacked archive
    find . -path ./build -prune -o -name '*.[ch]pp' -printf '%P\n'
  fi
}

lint_tidy() {  # lint_tidy --all|--changed
  local -a units
  local all
  if [[ $1 == --all ]]; then
    mapfile -t units < <(tidy_units)
  elif ! in_git; then
    say "clang-tidy: no git repository shows what changed here; tools/dev lint checks everything"
    return 0
  else
    mapfile -t units < <(changed_units)
    all=${#units[@]}
    units=("${units[@]:0:changed_units_max}")
    say "clang-tidy: the changes since $(changed_since | cut -c1-12) affect $all files; this commit's choice of them is ${#units[@]}"
  fi
  ((${#units[@]})) || return 0
  configure debug >/dev/null || return 1 # file by file: no unity build
  say "clang-tidy on ${#units[@]} files"
  printf '%s\0' "${units[@]}" |
    xargs -0 -n 1 -P "$(jobs_now)" clang-tidy-14 -p build/debug --quiet --warnings-as-errors='*'
}

# What the debug preset compiles.
tidy_units() { our_sources | grep '\.cpp$' | grep -v -e '^tests/package/' -e '^tests/fuzz/' -e '^tests/actors/unservable.cpp$'; }

# Where the branch left main; on main, the last release; without both (a shallow checkout of one branch), the commit before.
# Empty if there is none: then everything is new.
changed_since() {
  local main base
  for main in origin/main main; do
    base=$(git merge-base HEAD "$main" 2>/dev/null) || continue
    [[ $base == "$(git rev-parse HEAD)" ]] && break
    echo "$base"
    return
  done
  base=$(git describe --tags --abbrev=0 --match 'v*' HEAD^ 2>/dev/null) || base=HEAD^
  git rev-parse --quiet --verify "$base^{commit}" || true
}

# The changed sources and, for a changed header, its own source or the first that includes it, in an order that depends on
# the newest commit.
changed_units() {
  local base file commit
  base=$(changed_since)
  commit=$(git rev-parse HEAD)
  {
    if [[ -n $base ]]; then git diff --name-only --diff-filter=d "$base"; else git ls-files; fi
    git ls-files --others --exclude-standard
  } | grep -E '\.(hpp|cpp)$' | while read -r file; do
    [[ $file == *.hpp ]] || { echo "$file"; continue; }
    if [[ -f ${file%.hpp}.cpp ]]; then
      echo "${file%.hpp}.cpp"
    else
      git grep -lE "#include [<\"](.*/)?${file##*/}[>\"]" -- '*.cpp' | head -n 1
    fi
  done | sort -u | grep -Fxf <(tidy_units) | while read -r file; do
    printf '%s %s\n' "$(sha1sum <<<"$commit $file" | cut -c1-40)" "$file"
  done | LC_ALL=C sort | cut -d ' ' -f 2-
}
