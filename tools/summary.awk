# Reads ctest's log and its JUnit report, in this order. Prints the end of each failed test's
# output, each skipped test with its reason, the time, and last the one line
# `N passed, N failed, N skipped`.
# Exit code 1 if anything failed. With -v ci=true a skipped test counts as failed, unless it is
# the kernel that refuses, which no package can mend.
#
# Passed and failed count ctest entries; a skip is an entry that ended with code 77 or one case
# that a program skipped inside. The reason is the last output line that starts with "skip: ".

function unescape(s)
{
    gsub(/&lt;/, "<", s)
    gsub(/&gt;/, ">", s)
    gsub(/&quot;/, "\"", s)
    gsub(/&apos;/, "'", s)
    gsub(/&amp;/, "\\&", s)
    return s
}

function attribute(line, name,    value)
{
    if (!match(line, " " name "=\"[^\"]*\""))
        return ""
    value = substr(line, RSTART, RLENGTH)
    sub(/^[^"]*"/, "", value)
    sub(/"$/, "", value)
    return unescape(value)
}

function skip(what)
{
    if (what in seen) # cmocka names a skipped case again at the end
        return
    seen[what] = 1
    if (reason ~ /^the kernel refuses /)
        refusals++
    else
        skips++
    printf "skipped: %s (%s)\n", what, reason == "" ? "no reason given" : reason
    reason = ""
}

function show_failure(    i)
{
    printf "\nFAILED: %s%s\n", test, ending[test] == "" ? "" : " (" ending[test] ")"
    while (lines > 0 && output[lines] ~ /^[ \t]*$/)
        lines--
    for (i = lines > 30 ? lines - 29 : 1; i <= lines; i++)
        printf "    %s\n", output[i]
    printf "\n"
}

# How a test ended (Failed, Timeout, Exception: SegFault...) stands in the log only.
NR == FNR {
    if ($0 ~ /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / && match($0, /\*\*\*.* [0-9.]+ sec/)) {
        name = $0
        sub(/^[^:]*: /, "", name)
        sub(/ .*/, "", name)
        how = substr($0, RSTART + 3, RLENGTH - 3)
        sub(/ +[0-9.]+ sec.*/, "", how)
        ending[name] = how
    }
    next
}

/<testcase / {
    test = attribute($0, "name")
    status = attribute($0, "status")
    lines = 0
    reason = ""
    skipped_by_code = 0
    no_cases = 0
}


/<skipped message="SKIP_RETURN_CODE/ { skipped_by_code = 1 }

/<system-out>/ { in_output = 1 }

in_output {
    line = unescape($0)
    sub(/^[ \t]*<system-out>/, "", line)
    sub(/<\/system-out>.*/, "", line)
    output[++lines] = line
    if (line ~ /^skip: /)
        reason = substr(line, 7)
    if (line ~ /^\[  SKIPPED \] / && line !~ /test\(s\)/) {
        split(line, word, " ")
        skip(test " " word[4])
    }
    # A group without cases proves nothing; cmocka would call it a success.
    if (line ~ /^\[==========\] Running 0 test/)
        no_cases = 1
    if (line ~ /^\[       OK \] /)
        cases++
}

/<\/system-out>/ { in_output = 0 }

/<\/testcase>/ {
    if (skipped_by_code) {
        skip(test)
    } else if (status == "run" && !no_cases) {
        passed++
    } else {
        failed++
        if (no_cases)
            output[++lines] = "this program has a group without a single case"
        else if (lines == 0 || status != "fail")
            output[++lines] = "ctest says: " status
        show_failure()
    }
}

END {
    if (ci == "true") {
        if (skips > 0)
            print "a skipped test counts as failed here (CI=true)"
        failed += skips
        skips = 0
    }
    skips += refusals
    if (passed + failed + skips == 0) {
        print "no test ran"
        failed = 1
    }
    if (failed > 0)
        printf "whole log: %s\n", ARGV[1]
    printf "%d test cases inside, %d s in all\n", cases, seconds
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skips
    exit failed > 0
}
