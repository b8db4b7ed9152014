/* The one place that says which Quicklime this is. */
#ifndef QL_VERSION_H
#define QL_VERSION_H

#define QL_NAME    "Quicklime"
#define QL_VERSION "0.1.0"

#endif
