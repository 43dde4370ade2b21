taskdir completion fish | source
