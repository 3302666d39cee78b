"""A Jetson TX2 to test against, at its real borders: device tree, sysfs, /etc/nvpmodel.conf, nvpmodel, jtop."""
