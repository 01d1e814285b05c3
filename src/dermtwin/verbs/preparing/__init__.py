"""What `dermtwin prepare` is made of: its folder, its columns, its contact sheet, its report."""
