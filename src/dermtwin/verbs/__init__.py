"""One public function a verb; command line, page and API call nothing else."""
