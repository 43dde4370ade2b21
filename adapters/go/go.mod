module taskdir.example/taskdir

go 1.19
