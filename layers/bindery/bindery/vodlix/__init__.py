"""vodlix: devices of video applications."""
