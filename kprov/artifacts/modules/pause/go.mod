module kprov.local/build/pause

go 1.24
