"""Files of RViz and Foxglove that show the topics of given cameras."""
