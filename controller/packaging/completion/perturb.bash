# Completion of perturb for bash. The program itself says what may come next (`perturb complete`), so this never grows old.
_perturb() {
    local line=${COMP_LINE:0:COMP_POINT} candidate piece strip
    local -a words

    read -ra words <<< "$line"
    [[ $line == *' ' ]] && words+=('')
    piece=${words[-1]}
    strip=${piece##*[:=@<>]} # readline replaces only what stands after the last character at which it breaks words; an @ it keeps
    strip=${piece%"$strip"}
    strip=${strip%@}
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        if [[ $candidate == :files ]]; then
            compopt -o filenames
            mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "${piece#"$strip"}")
            continue
        fi
        COMPREPLY+=("${candidate#"$strip"}")
        case $candidate in
        */ | *= | *[@:]) compopt -o nospace ;;
        esac
    done < <("${words[0]}" complete -- "${words[@]:1}" 2> /dev/null)
}
complete -F _perturb perturb
