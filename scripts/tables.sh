# shellcheck shell=bash
# What the scripts share that write a table of docs/compatibility.md: read by `source`.

# `N of M` of the tests in a log whose names begin like this; `-` if none was run.
cell() {
    awk -v pattern="^($2)" '$1 == "test" && $2 ~ pattern && $3 == "..." { outcome[$2] = $4 }
        END {
            for (name in outcome) { all++; if (outcome[name] == "ok") passed++ }
            if (!all) print "-"; else if (passed == all) print all " of " all; else print "**" passed+0 " of " all "**"
        }' "$1"
}

# Puts a table into a page: between the lines `<!-- NAME: ...` and `<!-- end of NAME`.
put_table() {
    local name=$1 table=$2 page=$3
    awk -v table="$table" -v begins="<!-- $name:" -v ends="<!-- end of $name " '
        index($0, begins) == 1 { print; print ""; while ((getline line < table) > 0) print line; print ""; inside = 1; next }
        index($0, ends) == 1 { inside = 0 }
        !inside { print }' "$page" >"$table.page"
    cp "$table.page" "$page"
}
