// Checks the house rules that compiler, formatter and linter do not: layer order, which room may
// use which library, header comments, no open end without an issue number, nothing that ties the
// repository to one machine, documents that are there, the example as the README shows it, options, tests and containers
// as the tables of bounds name them, end-to-end cases that some entry runs. Each rule must first find a fault planted in memory, so that a rule that has gone blind
// fails too. One thread.
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct file {
  std::string path;  // from the repository's root
  std::vector<std::string> lines;
};

struct finding {
  std::string path;
  std::size_t line;
  std::string what;
};

// The rooms from the ground up; those that only use others share the top. Of include/ see rules::height_of.
int height(std::string_view path) {
  static constexpr std::array<std::string_view, 9> rooms = {
      "protocol/",
      "runtime/",
      "actors/",
      "include/nuncio/testing/",
      "testing/",
      "tools/",
      "tests/",
      "bench/",
      "examples/"};
  for (std::size_t i = 0; i < rooms.size(); ++i)
    if (path.starts_with(rooms[i])) return static_cast<int>(std::min<std::size_t>(i, 6));
  return -1;
}

bool ends_in(std::string_view path, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(), [&](auto e) { return path.ends_with(e); });
}

constexpr std::string_view end_to_end = "tests/end_to_end/";

bool is_cpp(std::string_view path) { return ends_in(path, {".hpp", ".cpp"}); }

class rules {
public:
  /// @param files  every file, so that an include can be found in its room
  explicit rules(const std::vector<file>& files) {
    for (const auto& f : files) {
      if (f.path.ends_with(".md")) documents_.insert(f.path);
      if (f.path == "examples/smallest.cpp") smallest_ = code_of(f);
      if (f.path == std::string{end_to_end} + "CMakeLists.txt") entries_ = f.lines;
      if (f.path.ends_with(".test.cpp")) tests_ += joined_literals(f);
      if (is_cpp(f.path) && !f.path.starts_with("tests/")) sources_.push_back(without_blanks(f));
      for (const auto& [line, name] : containers_of(f)) containers_.insert(name);
      if (f.path.ends_with("reliability.md"))
        for (const auto& line : f.lines)
          for (const auto& name : containers_named(line, true)) bounded_.insert(name);
      const auto slash = f.path.find('/');
      if (slash != std::string::npos && height(f.path) >= 0)
        heights_.emplace(f.path.substr(slash + 1), height(f.path));
      if (f.path.starts_with("include/")) public_.emplace(f.path.substr(slash + 1), &f);
    }
    for (const auto& [name, f] : public_) heights_.emplace(name, height_of(*f));
  }

  std::vector<finding> check(const file& f) {
    found_.clear();
    check_opening(f);
    if (f.path == "README.md") check_example(f);
    if (f.path.starts_with("include/nuncio/") && f.path.find('/', 15) == std::string::npos)
      check_public_opening(f);
    if (f.path.starts_with(end_to_end)) check_suites(f);
    for (const auto& [line, name] : containers_of(f))
      if (!bounded_.contains(name))
        report(f, line, "declares " + name + ", of which no table says what bounds it");
    for (std::size_t i = 0; i < f.lines.size(); ++i) {
      if (is_cpp(f.path)) check_include(f, i);
      check_text(f, i);
      if (f.path.ends_with("reliability.md")) check_bound(f, i);
    }
    return found_;
  }

private:
  void report(const file& f, std::size_t at, std::string what) {
    found_.push_back({f.path, at + 1, std::move(what)});
  }

  void check_opening(const file& f) {
    const std::string_view first = f.lines.empty() ? "" : std::string_view{f.lines.front()};
    if (is_cpp(f.path) && !first.starts_with("//"))
      report(f, 0, "opens without a comment that says what the file is for");
    if (ends_in(f.path, {".cmake", ".bash"}) && !first.starts_with("#"))
      report(f, 0, "opens without a comment that says what the file is for");
  }

  // A user reads the opening first: an example, and which threads may use what follows.
  void check_public_opening(const file& f) {
    bool example = false;
    bool threads = false;
    for (const auto& line : f.lines) {
      if (!line.starts_with("//")) break;
      example = example || line.starts_with("//   ");
      threads = threads || line.find("thread") != std::string::npos;
    }
    if (!example) report(f, 0, "is for users and opens without an example");
    if (!threads) report(f, 0, "is for users and opens without a word on threads");
  }

  // An example without the comment that opens it.
  static std::vector<std::string> code_of(const file& f) {
    auto from = f.lines.begin();
    while (from != f.lines.end() && from->starts_with("//")) ++from;
    return {from, f.lines.end()};
  }

  void check_example(const file& f) {
    const auto begin = std::find(f.lines.begin(), f.lines.end(), "```cpp");
    const auto end = std::find(begin, f.lines.end(), "```");
    if (begin != f.lines.end() && std::vector<std::string>(begin + 1, end) == smallest_) return;
    report(
        f,
        static_cast<std::size_t>(begin - f.lines.begin()),
        "shows another examples/smallest.cpp than there is");
  }

  // ctest runs suites by their names, and those with bystanders once for each gateway, which their cases' names end with.
  void check_suites(const file& f) {
    static const std::regex begin{R"re(^TEST_SUITE_BEGIN\("(\w+)"\).*)re"};
    std::string suite;
    for (std::size_t i = 0; i < f.lines.size(); ++i) {
      std::smatch m;
      if (std::regex_match(f.lines[i], m, begin)) {
        suite = m[1];
        const std::regex entry{"(^|[\\s(])" + suite + "($|[\\s)])"};
        if (std::none_of(entries_.begin(), entries_.end(), [&](const std::string& line) {
              return std::regex_search(line, entry);
            }))
          report(f, i, "begins the suite " + suite + ", which no entry of ctest runs");
      }
      if (suite.starts_with("bystanders") && f.lines[i].starts_with("TEST_CASE("))
        report(f, i, "has a case that is not of a gateway, which no entry of ctest runs");
    }
  }

  static std::string without_blanks(const file& f) {
    std::string out;
    for (const auto& line : f.lines)
      std::copy_if(line.begin(), line.end(), std::back_inserter(out), [](unsigned char c) {
        return std::isspace(c) == 0;
      });
    return out;
  }

  // So that a name that is written in several pieces is found.
  static std::string joined_literals(const file& f) {
    static const std::regex seam{R"("\s*")"};
    std::string all;
    for (const auto& line : f.lines) all += line + ' ';
    return std::regex_replace(all, seam, "");
  }

  // Code without comments, literals and directives, line by line.
  static std::string bare(const file& f) {
    std::string out, raw_end;
    for (const auto& line : f.lines) {
      std::size_t i = 0;
      if (!raw_end.empty()) {
        i = line.find(raw_end);
        if (i != std::string::npos) i += std::exchange(raw_end, {}).size();
      } else if (line.starts_with('#')) {
        i = line.size();
      }
      while (i < line.size()) {
        const char c = line[i];
        if (line.compare(i, 2, "//") == 0) break;
        if (line.compare(i, 2, "R\"") == 0) {
          const auto begin = line.find('(', i);
          raw_end = ')' + line.substr(i + 2, begin - i - 2) + '"';
          const auto end = line.find(raw_end, begin);
          if (end == std::string::npos) break;
          i = end + std::exchange(raw_end, {}).size();
        } else if (c == '"' || (c == '\'' && (i == 0 || std::isalnum(line[i - 1]) == 0))) {
          for (++i; i < line.size() && line[i] != c; ++i)
            if (line[i] == '\\') ++i;
          ++i;
        } else {
          out += c;
          ++i;
        }
      }
      out += '\n';
    }
    return out;
  }

  // The containers that classes and structures keep, however deep they stand, as FILE::MEMBER and with the lines where their
  // declarations end. What an actor or a machine of ours keeps can be filled from outside, or somebody must say why not. A
  // container is known by the end of its type's name; an alias of one, by its declaration in the same file.
  static std::vector<std::pair<std::size_t, std::string>> containers_of(const file& f) {
    std::vector<std::pair<std::size_t, std::string>> found;
    if (!is_cpp(f.path) || f.path.starts_with("include/nuncio/testing/") ||
        !(f.path.starts_with("actors/") || f.path.starts_with("runtime/") ||
          f.path.starts_with("include/")))
      return found;
    const auto text = bare(f);
    const std::string ends = "map|set|list|vector|deque|queue|known_for|known_by_owner";
    const std::regex alias{R"re(using\s+(\w+)\s*=\s*[\w:]*(?:)re" + ends + R"re()<)re"};
    auto types = "[\\w:]*(?:" + ends + ")";
    for (std::sregex_iterator m{text.begin(), text.end(), alias}, last; m != last; ++m)
      types += "|" + (*m)[1].str();
    const std::regex member{
        R"re(^\s*(?:(?:public|private|protected):)?\s*(?:mutable\s+)?(?:(?:std::)?array<\s*)?(?:)re" +
        types + R"re()\s*(?:<[^;]*>)?(?:,\s*\w+>)?\s+(\w+)\s*(?:=[\s\S]*)?$)re"};
    static const std::regex opens_class{
        R"re((?:^|[\s>])(?:struct|class)\s+[\w:]+(?:<[^{}()]*>)?\s*(?:final\s*)?(?::[^:(][^(]*)?$)re"};
    // What each open brace belongs to: a class, or else what was written before it.
    std::vector<std::pair<bool, std::string>> open;
    std::string statement;
    std::size_t line = 0;
    for (const char c : text) {
      if (c == '\n') ++line;
      if (c == '{') {
        const bool is_class = std::regex_search(statement, opens_class);
        open.emplace_back(is_class, is_class ? std::string{} : std::exchange(statement, {}));
        statement.clear();
      } else if (c == '}') {
        statement.clear();
        if (open.empty()) continue;
        auto [was_class, before] = std::move(open.back());
        open.pop_back();
        // A member's initial value; the end of a function otherwise.
        if (!was_class && !open.empty() && open.back().first &&
            before.find('(') == std::string::npos)
          statement = std::move(before);
      } else if (c == ';') {
        std::smatch m;
        if (!open.empty() && open.back().first && std::regex_match(statement, m, member))
          found.emplace_back(line, fs::path{f.path}.stem().string() + "::" + m[1].str());
        statement.clear();
      } else {
        statement += c;
      }
    }
    return found;
  }

  static std::vector<std::string> containers_named(std::string_view text, bool all) {
    static const std::regex name{R"re(`(\w+::\w+)`)re"};
    std::vector<std::string> out;
    const std::string line{text};
    for (std::sregex_iterator m{line.begin(), line.end(), name}, last; m != last; ++m)
      if (all || (*m)[1].str().ends_with('_')) out.push_back((*m)[1]);
    return out;
  }

  // A row of the table of bounds names options as they are declared, and tests by their names.
  void check_bound(const file& f, std::size_t at) {
    static const std::regex option{R"re(`(?:(\w+)::)?(\w+ = [^`]+)`)re"};
    static const std::regex test{R"re("([^"]+)")re"};
    const auto& line = f.lines[at];
    if (!line.starts_with("| ")) {
      of_containers_ = false;
      return;
    }
    for (std::sregex_iterator m{line.begin(), line.end(), option}, last; m != last; ++m) {
      const auto declared = without_blanks({{}, {(*m)[2].str() + ';'}});
      const auto owner = (*m)[1].matched ? "struct" + (*m)[1].str() : std::string{};
      if (std::none_of(sources_.begin(), sources_.end(), [&](const std::string& source) {
            const auto begin =
                owner.empty() ? 0 : std::min(source.find(owner + '{'), source.find(owner + ':'));
            return begin != std::string::npos && source.find(declared, begin) != std::string::npos;
          }))
        report(f, at, "names the option " + m->str() + ", which is not declared so");
    }
    for (std::sregex_iterator m{line.begin(), line.end(), test}, last; m != last; ++m) {
      constexpr std::string_view more = "…";  // only the beginning of a name is given
      auto name = '"' + (*m)[1].str();
      if (name.ends_with(more))
        name.resize(name.size() - more.size());
      else
        name += '"';
      if (tests_.find(name) == std::string::npos)
        report(f, at, "names the test " + m->str() + ", which is not there");
    }
    if (at >= 2 && f.lines[at - 2].starts_with("| containers ")) of_containers_ = true;
    for (const auto& name :
         containers_named(std::string_view{line}.substr(0, line.find('|', 2)), of_containers_))
      if (!containers_.contains(name))
        report(f, at, "names the container " + name + ", which is not there");
  }

  static std::string included_by(const std::string& line) {
    static const std::regex include{R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])"};
    std::smatch m;
    return std::regex_search(line, m, include) ? m[1].str() : "";
  }

  // A public header belongs to the room of the highest that it includes: CAF, or another public header.
  int height_of(const file& f) const {
    int most = 0;
    for (const auto& line : f.lines) {
      const auto name = included_by(line);
      if (name.starts_with("caf/")) most = std::max(most, height("actors/"));
      if (const auto it = public_.find(name); it != public_.end())
        most = std::max(most, height_of(*it->second));
    }
    return most;
  }

  void check_include(const file& f, std::size_t at) {
    const auto name = included_by(f.lines[at]);
    if (name.empty()) return;
    const bool is_public = f.path.starts_with("include/");
    const int own = height(f.path);
    const int here = is_public && own < 0 ? height("actors/") : own;
    if (name.starts_with("caf/") && here < height("actors/"))
      report(f, at, "CAF is used in actors/ and above only");
    if (name.find("libwebsockets") != std::string::npos &&
        f.path != "runtime/nuncio/connection/websocket_impl.hpp")
      report(
          f, at, "libwebsockets is included by runtime/nuncio/connection/websocket_impl.hpp only");
    if (name.starts_with("spdlog/") && !f.path.starts_with("tools/"))
      report(f, at, "spdlog is used in tools/ only");
    if (const auto it = heights_.find(name); it != heights_.end() && it->second > here && here >= 0)
      report(f, at, "includes " + name + " of a room above its own");
  }

  void check_text(const file& f, std::size_t at) {
    // Put together here, so that this file does not hold what it looks for.
    static const std::regex todo{
        std::string{"\\b(TO"} + "DO|FIX" + "ME|X" + "XX)\\b(?!\\W{0,2}#[0-9])"};
    static const std::regex machine{
        std::string{"(^|[^A-Za-z0-9_.$}])/(wo"} + "rk|ho" + "me|ro" + "ot)/"};
    static const std::regex outside{std::string{"(^|[^A-Za-z0-9_])sha"} + "red/"};
    const auto& line = f.lines[at];
    if (std::regex_search(line, todo)) report(f, at, "an open end without an issue number");
    if (std::regex_search(line, machine)) report(f, at, "names an absolute path of one machine");
    if (std::regex_search(line, outside)) report(f, at, "points to a file outside the repository");
    static const std::regex document{R"((^|[^A-Za-z0-9_/])(docs/[a-z_]{2,}\.md))"};
    for (std::sregex_iterator m{line.begin(), line.end(), document}, last; m != last; ++m)
      if (!documents_.contains((*m)[2]))
        report(f, at, "points to " + (*m)[2].str() + ", which is not there");
  }

  std::map<std::string, int> heights_;
  std::map<std::string, const file*> public_;  ///< the headers of include/
  std::set<std::string> documents_;
  std::vector<std::string> smallest_;
  std::vector<std::string> entries_;  ///< the lines that name the end-to-end suites
  std::vector<std::string> sources_;  ///< without blanks
  std::string tests_;
  std::set<std::string> containers_;  ///< that classes keep
  bool of_containers_ = false;        ///< the table that is being read
  std::set<std::string> bounded_;     ///< of which a table says what bounds them
  std::vector<finding> found_;
};

file make_file(std::string path, std::istream& in) {
  file f{std::move(path), {}};
  for (std::string line; std::getline(in, line);) f.lines.push_back(std::move(line));
  return f;
}

std::vector<file> read_all(const fs::path& root) {
  static const std::set<std::string> skipped = {".git", ".cache", "build", "data"};
  static const std::set<std::string> kinds = {
      ".hpp", ".cpp", ".txt", ".cmake", ".in", ".md", ".bash", ".json", ".yml", ".patch"};
  std::vector<file> files;
  for (auto it = fs::recursive_directory_iterator{root}; it != fs::recursive_directory_iterator{};
       ++it) {
    const auto name = it->path().filename().string();
    // A build directory may have any name.
    if (it->is_directory() && (skipped.contains(name) || fs::exists(it->path() / "CMakeCache.txt")))
      it.disable_recursion_pending();
    if (!it->is_regular_file()) continue;
    // Scripts have no ending; LICENSE and the like are not ours to judge.
    if (!kinds.contains(it->path().extension().string()) && name != "dev" && name != "run")
      continue;
    std::ifstream in{it->path()};
    files.push_back(make_file(fs::relative(it->path(), root).generic_string(), in));
  }
  return files;
}

// One planted fault for each rule, and one file that is as it should be.
bool rules_can_see() {
  const std::vector<std::pair<std::string, std::string>> faulty = {
      {"runtime/nuncio/a.hpp", "#pragma once\n"},
      {"cmake/a.cmake", "set(a b)\n"},
      {"runtime/nuncio/a.cpp", "// a\n#include <caf/all.hpp>\n"},
      {"actors/nuncio/a.cpp", "// a\n#include <libwebsockets.h>\n"},
      {"runtime/nuncio/b.cpp", "// a\n#include <spdlog/spdlog.h>\n"},
      {"protocol/nuncio/a.cpp", "// a\n#include <nuncio/above.hpp>\n"},
      {"runtime/nuncio/f.cpp", "// a\n#include <nuncio/outer.hpp>\n"},
      {"actors/nuncio/b.cpp", "// a\n#include <nuncio/testing/above.hpp>\n"},
      {"include/nuncio/below.hpp",
       "// a; any thread\n//\n//   a();\n#include <nuncio/testing/above.hpp>\n"},
      {"tools/a.cpp", std::string{"// a\n// TO"} + "DO later\n"},
      {"docs/a.md", std::string{"see /ro"} + "ot/notes\n"},
      {"docs/b.md", std::string{"see ../sha"} + "red/NOTES.md\n"},
      {"docs/c.md", std::string{"see do"} + "cs/nothing.md\n"},
      {"docs/reliability.md", "| a | 1 | `limits::most = 2` | refused | \"a is bounded\" |\n"},
      {"docs/more/reliability.md", "| a | 1 | `limits::most = 1` | refused | \"b is\" |\n"},
      {"docs/names/reliability.md", "| `kept::gone_` | 1 |\n"},
      {"actors/nuncio/filled.hpp", "// a\nclass filled {\n  std::vector<int> all_;\n};\n"},
      {"runtime/nuncio/c.hpp", "// a\nclass c {\n  some_map of_\n      {};\n};\n"},
      {"runtime/nuncio/d.cpp",
       "// a\nvoid f() {\n  std::vector<int> local;\n}\nstruct d::impl {\n  void g() {\n    "
       "std::list<int> here;\n  }\n"
       "  using all = std::map<int, int>;\n  struct inner {\n    all nested;\n  };\n};\n"},
      {"runtime/nuncio/e.hpp",
       "// a\nstruct e final : base<int> {\n  std::array<std::list<int>, 2> both;\n};\n"},
      {"tests/end_to_end/a.test.cpp", "// a\nTEST_SUITE_BEGIN(\"unlisted\");\n"},
      {"tests/end_to_end/b.test.cpp",
       "// a\nTEST_SUITE_BEGIN(\"bystanders\");\nTEST_CASE(\"a\") {}\n"},
      {"include/nuncio/g.hpp", "// a; any thread\n//\n// a();\n"},
      {"include/nuncio/h.hpp", "// a\n//\n//   a();\n"},
      {"README.md", "```cpp\nint main() { return 1; }\n```\n"}};
  std::vector<file> files;
  const auto add = [&](const std::string& path, const std::string& text) {
    std::istringstream in{text};
    files.push_back(make_file(path, in));
  };
  add("runtime/nuncio/above.hpp", "// a\n");
  add("include/nuncio/testing/above.hpp", "// a\n#include <nuncio/testing/more.hpp>\n");
  add("include/nuncio/testing/more.hpp", "// a\n");
  add("include/nuncio/outer.hpp",
      "// a; any thread\n//\n//   a();\n#include <nuncio/detail/inner.hpp>\n");
  add("include/nuncio/detail/inner.hpp", "// a\n#include <caf/actor.hpp>\n");
  add("examples/smallest.cpp", "// a\nint main() {}\n");
  add("actors/nuncio/limits.hpp", "// a\nstruct limits {\n  int most =\n      1;\n};\n");
  add("tests/a.test.cpp", "// a\nTEST_CASE(\n    \"a is \"\n    \"bounded\") {}\n");
  add("docs/good/reliability.md",
      "| a | 1 | `limits::most = 1` | refused | \"a is bounded\" |\n| `kept::more_` | a |\n");
  add("runtime/nuncio/kept.hpp",
      "// a\nclass kept {\n  std::map<int, int>\n      more_;\n  std::map<int, int>::iterator "
      "at_;\n};\n");
  add("tests/end_to_end/CMakeLists.txt",
      "set(suites basics unlisted.test)\nset(more bystanders)\n");
  add("tests/end_to_end/basics.test.cpp",
      "// a\nTEST_SUITE_BEGIN(\"basics\");\nTEST_CASE(\"a\") {}\n");
  add("actors/nuncio/good.cpp",
      std::string{"// a\n#include <caf/all.hpp>\n#include <nuncio/above.hpp>\n// TO"} +
          "DO #7: more\n");
  for (const auto& [path, text] : faulty) add(path, text);
  rules all{files};
  bool good = true;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::size_t wanted = i < 13 ? 0 : 1;
    const auto found = all.check(files[i]);
    if (found.size() == wanted) continue;
    std::fprintf(
        stderr,
        "tidy is blind or sees ghosts: %zu findings in planted %s, not %zu\n",
        found.size(),
        files[i].path.c_str(),
        wanted);
    good = false;
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2) {
      std::fprintf(stderr, "usage: nuncio_tidy REPOSITORY\n");
      return 2;
    }
    if (!rules_can_see()) return 1;
    const auto files = read_all(argv[1]);
    rules all{files};
    std::size_t count = 0;
    for (const auto& f : files)
      for (const auto& x : all.check(f)) {
        std::fprintf(stderr, "%s:%zu: %s\n", x.path.c_str(), x.line, x.what.c_str());
        ++count;
      }
    std::printf("tidy: %zu files, %zu findings\n", files.size(), count);
    return count == 0 && !files.empty() ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tidy: %s\n", e.what());
    return 1;
  }
}
