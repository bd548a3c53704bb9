# awk -f budget.awk budget LOG...: is what ptxas -v says of each kernel within its budget?
function fail(text) { print FILENAME ": " text > "/dev/stderr"; failed = 1 }
FNR == NR { if ($1 != "#" && NF) budget[$1] = $2; next }
/Compiling entry function/ { split($0, part, "'"); kernel = part[2]; card = part[4] }
/bytes stack frame/ && $0 !~ /^ *0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads/ {
    sub(/^ */, ""); fail(kernel " for " card " needs memory of its own: " $0)
}
/Used [0-9]+ registers/ {
    match($0, /Used [0-9]+/); used = substr($0, RSTART + 5, RLENGTH - 5)
    if (!(kernel in budget)) fail(kernel " has no budget of registers")
    else if (used + 0 > budget[kernel])
        fail(kernel " for " card " uses " used " registers, its budget is " budget[kernel])
}
END { exit failed }
