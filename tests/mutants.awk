# Reads the mutants that test sources record above their cases (HACKING.md has the format) and looks
# for the text of each in the tree, which is the current folder:
#
#   awk -v complaints=FILE [-v out=FOLDER] -f tests/mutants.awk tests/tasks/test_*.c
#
# Prints a line for each mutant that applies, its fields separated by a blank:
#   NUMBER TEST_SOURCE LINE CASE DRIVER FILE
# DRIVER is what CASE_ON says, or "any". With `out`, FOLDER/NUMBER is FILE after the change.
# What is wrong goes into the file `complaints`: `source:line: what`.

function complain(line, text) { printf "%s:%d: %s\n", source, line, text >complaints }

function trimmed(text) {
    sub(/^[ \t]+/, "", text)
    sub(/[ \t]+$/, "", text)
    return text
}

# A line of C as it is compared: without the comment behind it and a macro's backslash.
function bare(text) {
    sub(/[ \t]*\\$/, "", text)
    sub(/[ \t]*\/\*.*\*\/[ \t]*$/, "", text)
    return trimmed(text)
}

function load(file,    text, n) {
    if (file in line_count)
        return line_count[file]
    n = 0
    while ((getline text <file) > 0)
        lines[file, ++n] = text
    close(file)
    return line_count[file] = n
}

# The lines of the function or macro `name` are first to last.
function find_part(file, name,    i, start) {
    for (i = 1; i <= line_count[file]; i++) {
        if (lines[file, i] ~ ("^#[ \t]*define " name "([ \t(]|$)")) {
            for (first = last = i; lines[file, last] ~ /\\$/; last++)
                ;
            return 1
        }
        if (lines[file, i] ~ ("^([A-Za-z_].*[ *])?" name "\\("))
            start = i
        if (start && lines[file, i] ~ /;[ \t]*$/ && lines[file, i] !~ /^[ \t{]/ || start == i - 9)
            start = 0 # A prototype.
        if (start && lines[file, i] ~ /^\{/) {
            first = last = start
            while (lines[file, last] !~ /^\}/ && last < line_count[file])
                last++
            return 1
        }
    }
    return 0
}

function matches_at(file, at,    k) {
    for (k = 1; k <= old_count; k++)
        if (bare(lines[file, at + k - 1]) != old[k])
            return 0
    return 1
}

function write_changed(file, at, name,    i, indent, tail) {
    indent = lines[file, at]
    sub(/[^ \t].*/, "", indent)
    tail = lines[file, at + old_count - 1] ~ /\\$/ ? " \\" : ""
    printf "" >name
    for (i = 1; i < at; i++)
        print lines[file, i] >name
    for (i = 1; i <= new_count; i++)
        print indent new[i] tail >name
    for (i = at + old_count; i <= line_count[file]; i++)
        print lines[file, i] >name
    close(name)
}

# Where the hunk is in its file; 0 if that cannot be said.
function place_of_hunk(    i, at, found) {
    if (old_count == 0) {
        complain(hunk_line, "the mutant takes no line away")
        return 0
    }
    if (!load(path)) {
        complain(hunk_line, "there is no file " path)
        return 0
    }
    first = 1
    last = line_count[path]
    if (part != "" && !find_part(path, part)) {
        complain(hunk_line, path " has no function or macro " part)
        return 0
    }
    for (i = first; i <= last - old_count + 1; i++) {
        if (matches_at(path, i)) {
            at = i
            found++
        }
    }
    if (found != 1)
        complain(hunk_line, "the mutant's text is " (found + 0) " times in " path \
            (part != "" ? ", " part : "") ": " old[1])
    return found == 1 ? at : 0
}

function end_hunk(    at) {
    at = path != "" ? place_of_hunk() : 0
    path = ""
    if (!at)
        return
    count++
    mutant_source[count] = source
    mutant_line[count] = hunk_line
    mutant_file[count] = hunk_file
    if (out != "")
        write_changed(hunk_file, at, out "/" count)
}

function begin_hunk(text,    words, n) {
    end_hunk()
    n = split(text, words, " ")
    hunk_line = FNR
    hunk_file = path = words[1]
    part = words[3]
    old_count = new_count = 0
    in_hunk = recorded = 1
    if (n != 1 && (n != 3 || words[2] != "@")) {
        complain(FNR, "not `mutant: FILE` or `mutant: FILE @ NAME`")
        path = ""
    } else if (path !~ /^(core|transports|restart|tasks|workers|include)\/[a-z0-9_\/]*\.[ch]$/) {
        complain(FNR, "a mutant changes a source of the library, not " path)
        path = ""
    }
}

function line_of_comment(text) {
    if (text ~ /^mutant:/) {
        begin_hunk(substr(text, 8))
    } else if (text ~ /^no mutant: *[^ ]/) {
        recorded = 1
    } else if (in_hunk && text ~ /^- *[^ ]/ && new_count == 0) {
        old[++old_count] = trimmed(substr(text, 2))
    } else if (in_hunk && text ~ /^\+ *[^ ]/) {
        new[++new_count] = trimmed(substr(text, 2))
    } else if (in_hunk && text != "") {
        complain(FNR, "a mutant's lines begin with `- `, then `+ `: " text)
        path = ""
    } else if (text ~ /mutant:|mutation:/) {
        complain(FNR, "a mutant begins with a line `mutant: FILE`")
    }
}

# A comment that records something wants a case directly below it.
function expect_no_case() {
    if (recorded)
        complain(hunk_line, "no case stands below the mutant")
    recorded = 0
    unowned = count + 1
}

FNR == 1 {
    expect_no_case()
    source = FILENAME
    in_comment = in_hunk = 0
    path = on_driver = ""
}

# The table of cases.
/_ON\("[a-z]+",/ {
    on_driver = $0
    sub(/^[^"]*"/, "", on_driver)
    sub(/".*/, "", on_driver)
}
on_driver != "" && match($0, /test_[a-z0-9_]+/) {
    driver[source, substr($0, RSTART, RLENGTH)] = on_driver
    on_driver = ""
}

in_comment || /^\/\*/ {
    in_comment = 1
    text = $0
    ends = sub(/\*\/[ \t]*$/, "", text)
    sub(/^ ?\/?\*+/, "", text)
    line_of_comment(trimmed(text))
    if (ends) {
        end_hunk()
        in_comment = in_hunk = 0
    }
    next
}

# A case, or what a macro makes one of: STREAM_TEST(name, ...) is test_name.
/^test_[a-z0-9_]+\(void \*\*/ && previous == "static void" || /^[A-Z]+_TEST\([a-z0-9_]+[,)]/ {
    name = $0
    if (sub(/^[A-Z]+_TEST\(/, "test_", name))
        sub(/[,)].*/, "", name)
    sub(/\(.*/, "", name)
    if (!recorded)
        complain(FNR, name " has no mutant, nor `no mutant: reason`")
    for (; unowned <= count; unowned++)
        mutant_case[unowned] = name
    recorded = 0
}
recorded && !/^static void$/ { expect_no_case() }
{ previous = $0 }

END {
    expect_no_case()
    for (i = 1; i <= count; i++) {
        if (!(i in mutant_case))
            continue
        key = mutant_source[i] SUBSEP mutant_case[i]
        print i, mutant_source[i], mutant_line[i], mutant_case[i], \
            key in driver ? driver[key] : "any", mutant_file[i]
    }
}
