// SPDX-License-Identifier: Apache-2.0
// Identities for servers of tests, none of which expires. Made once with github.com/nats-io/jwt/v2 2.5.0 and
// github.com/nats-io/nkeys 0.4.5:
//
//   kOperator           NewOperatorClaims of CreateOperator(), encoded with its own key
//   kAccount(Key)       NewAccountClaims of CreateAccount() with JetStreamLimits{MemoryStorage: 64 << 20, DiskStorage:
//                       256 << 20, Streams: 16, Consumer: 16}, encoded with the operator's key
//   kSystem(Key)        NewAccountClaims of another one, which JetStream needs beside an operator; encoded as that
//   kUser, kUserSeed    NewUserClaims of CreateUser(), encoded with the account's key; the user's Seed()
//   kUserOfAnother      the same user, encoded with the key of an account that no server knows
//   kNkey, kNkeySeed    PublicKey() and Seed() of CreateUser()
#pragma once

namespace sluice::jetstream::testing {

constexpr const char* kOperator =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJTU1BFMlRJMkpKVTZVUUFRQUdCTVo0SVFBVzVXNkpSRFhRQ"
    "lE2N1Y0Sk83SjJMNUxXTjJRIiwiaWF0IjoxNzk1MzU3MDIzLCJpc3MiOiJPQ0dVQkZDR0U0S0RIUUNOUkhDVzZPN1RJTlc3VDVUS0Q3T"
    "VdFRURLUUU3Tk5FTk5WUjZITzNVSCIsIm5hbWUiOiJzbHVpY2UtdGVzdCIsInN1YiI6Ik9DR1VCRkNHRTRLREhRQ05SSENXNk83VElOV"
    "zdUNVRLRDdNV0VFREtRRTdOTkVOTlZSNkhPM1VIIiwibmF0cyI6eyJ0eXBlIjoib3BlcmF0b3IiLCJ2ZXJzaW9uIjoyfX0.1Ez3zwyqD"
    "CLZu1Sr0OeYWjKnf46y1VYJ3wD3526hvypg5dhKXjrtdcOORn44YTtnlhrL-8o6UUzsXBuk9wg1CA";
constexpr const char* kAccountKey = "ABR75LF6PFVZBEPX46MS4EYJCBLQ5QFQHIR7F2U4BIBMQ5N6OLRPE4IC";
constexpr const char* kAccount =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJBUUxIWE1CWFBKSFFRWk9UTzRaNUtLVVFFNDZDSk5OS1hBS"
    "05HWkxCSkJJWFIzT1VWWENBIiwiaWF0IjoxNzk1MzU3MDIzLCJpc3MiOiJPQ0dVQkZDR0U0S0RIUUNOUkhDVzZPN1RJTlc3VDVUS0Q3T"
    "VdFRURLUUU3Tk5FTk5WUjZITzNVSCIsIm5hbWUiOiJsb2dzIiwic3ViIjoiQUJSNzVMRjZQRlZaQkVQWDQ2TVM0RVlKQ0JMUTVRRlFIS"
    "VI3RjJVNEJJQk1RNU42T0xSUEU0SUMiLCJuYXRzIjp7ImxpbWl0cyI6eyJzdWJzIjotMSwiZGF0YSI6LTEsInBheWxvYWQiOi0xLCJpb"
    "XBvcnRzIjotMSwiZXhwb3J0cyI6LTEsIndpbGRjYXJkcyI6dHJ1ZSwiY29ubiI6LTEsImxlYWYiOi0xLCJtZW1fc3RvcmFnZSI6NjcxM"
    "Dg4NjQsImRpc2tfc3RvcmFnZSI6MjY4NDM1NDU2LCJzdHJlYW1zIjoxNiwiY29uc3VtZXIiOjE2fSwiZGVmYXVsdF9wZXJtaXNzaW9uc"
    "yI6eyJwdWIiOnt9LCJzdWIiOnt9fSwiYXV0aG9yaXphdGlvbiI6eyJhdXRoX3VzZXJzIjpudWxsfSwidHlwZSI6ImFjY291bnQiLCJ2Z"
    "XJzaW9uIjoyfX0.xhEe0cP8ITpVtga-JxXuPrN0Ol6n1hpzJhCfnsLlauhxKbCRRcWt56YzwCLTLvfV7ndF5d0MmVa6VO0tl-Q0AQ";
constexpr const char* kSystemKey = "ABOBORET2CQZU66M6WCGONFESQBRXLDGZI5NP4DRT2FEVWFGHK3IYU5N";
constexpr const char* kSystem =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJEVE5FVlRBRlZNSlBXRkEyNUdPTFpDWElLMzdRWk8zSkpZU"
    "E1ZNllMR1RGVldJMlNQMk9BIiwiaWF0IjoxNzk1MzU3MDIzLCJpc3MiOiJPQ0dVQkZDR0U0S0RIUUNOUkhDVzZPN1RJTlc3VDVUS0Q3T"
    "VdFRURLUUU3Tk5FTk5WUjZITzNVSCIsIm5hbWUiOiJzeXN0ZW0iLCJzdWIiOiJBQk9CT1JFVDJDUVpVNjZNNldDR09ORkVTUUJSWExER"
    "1pJNU5QNERSVDJGRVZXRkdISzNJWVU1TiIsIm5hdHMiOnsibGltaXRzIjp7InN1YnMiOi0xLCJkYXRhIjotMSwicGF5bG9hZCI6LTEsI"
    "mltcG9ydHMiOi0xLCJleHBvcnRzIjotMSwid2lsZGNhcmRzIjp0cnVlLCJjb25uIjotMSwibGVhZiI6LTF9LCJkZWZhdWx0X3Blcm1pc"
    "3Npb25zIjp7InB1YiI6e30sInN1YiI6e319LCJhdXRob3JpemF0aW9uIjp7ImF1dGhfdXNlcnMiOm51bGx9LCJ0eXBlIjoiYWNjb3Vud"
    "CIsInZlcnNpb24iOjJ9fQ.FcUQUgi-eQJqF6ORI7Cxj_NfR7FbtBglKIKQd8d3H_rgjf2UmH-69KPazKNu92GnY4Qm_U5Nn6wU7CrvSB"
    "QzCw";
constexpr const char* kUser =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJJN1JNV1hIRFpWU0I1S0hCVDVDNEdXVUE0MlpHR0pYMkdTT"
    "ERRTVpKSk5PVUxMSllDS1hRIiwiaWF0IjoxNzk1MzU3MDIzLCJpc3MiOiJBQlI3NUxGNlBGVlpCRVBYNDZNUzRFWUpDQkxRNVFGUUhJU"
    "jdGMlU0QklCTVE1TjZPTFJQRTRJQyIsIm5hbWUiOiJicm9rZXIiLCJzdWIiOiJVQVRJSFJQSUk1Vlk3UFdUNlUzWDQ0WVdIV0QzTUdIR"
    "E5ER0xQMjJITDdaNlZLRlhWNTdYS0U2WiIsIm5hdHMiOnsicHViIjp7fSwic3ViIjp7fSwic3VicyI6LTEsImRhdGEiOi0xLCJwYXlsb"
    "2FkIjotMSwidHlwZSI6InVzZXIiLCJ2ZXJzaW9uIjoyfX0.CeeAVNdxa3xbTi5KYvil368BZ6lOnlx8kwp6YmBbX09yadGrkkKEfNEWE"
    "S-pq1gCVNiYUMNoVNqq8WmPAIjbCA";
constexpr const char* kUserOfAnother =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJYWFg1RVRURkM0VzZUTlgzTEZSNVNNNDNUVEpJRjNZNFdUQ"
    "UdKTTdGNU9LREFNSlhIN1NRIiwiaWF0IjoxNzk1MzU3MDIzLCJpc3MiOiJBQ1RBN09OV0NOR1VJVk9PWjVITlUySE9EQ01VUTZCTkYzR"
    "VhNU0w1Q0xTVkFGM1dZNkJZN0NQMiIsIm5hbWUiOiJzdHJhbmdlciIsInN1YiI6IlVBVElIUlBJSTVWWTdQV1Q2VTNYNDRZV0hXRDNNR"
    "0hETkRHTFAyMkhMN1o2VktGWFY1N1hLRTZaIiwibmF0cyI6eyJwdWIiOnt9LCJzdWIiOnt9LCJzdWJzIjotMSwiZGF0YSI6LTEsInBhe"
    "WxvYWQiOi0xLCJ0eXBlIjoidXNlciIsInZlcnNpb24iOjJ9fQ.Ji4eUcLkzvoSPW0EsaUhEEjeuAhhXO5L8gqMsHRV5pFKxhWmN7VNf_"
    "olgKdqjH5tcutWsoHwjDXTFQPr_TlxAw";
constexpr const char* kUserSeed = "SUAMKTTUF6GV4AB74H22ABBQ7XHT5R7ZK6L6UMR43ZQVZQNTJC72RFVGBU";
constexpr const char* kNkey = "UCFSJE6N3BB3LSR7PLGBAZZ54JGLELM5ZF5YBTV5GZT7JOSRL2NUSYBC";
constexpr const char* kNkeySeed = "SUANXUU3FMAN3J4IPZKJN52WJHXC2RB2SHECC4EDL45GDBRCNY2JBJGZQU";

}  // namespace sluice::jetstream::testing
