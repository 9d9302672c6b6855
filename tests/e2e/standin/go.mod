module kprov.local/tests/standin

go 1.24.0
