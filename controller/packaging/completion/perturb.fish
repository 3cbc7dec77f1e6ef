# Completion of perturb for fish. The program itself says what may come next (`perturb complete`), so this never grows old.
function __perturb_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    for line in ($words[1] complete -- $words[2..] $typed 2>/dev/null)
        if string match -q ':files*' -- $line
            __fish_complete_path $typed
        else
            echo $line
        end
    end
end
complete -c perturb -f -a '(__perturb_complete)'
