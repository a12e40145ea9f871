"""httpx and httpx2 on aioreq: written once, for either library, which is handed in. Imports neither."""
