"""The whole product on a whole cluster: images, manifests, real nodes, real pods."""
