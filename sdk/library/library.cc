// SPDX-License-Identifier: Apache-2.0
// The shared library is made of the archives of the SDK's folders; a library needs a source of its own all the same.
