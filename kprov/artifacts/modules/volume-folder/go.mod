module kprov.local/build/volume-folder

go 1.24
