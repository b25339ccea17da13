#include "base/base64.h"

#include <CppUTest/TestHarness.h>

#include <string>

using keystone::AppendBase64;
using keystone::DecodeBase64;

namespace {

std::string Encode(std::string_view bytes) {
  std::string out;
  AppendBase64(bytes, &out);
  return out;
}

}  // namespace

TEST_GROUP(Base64){};

TEST(Base64, TheExamplesOfRfc4648) {
  const struct {
    const char* bytes;
    const char* text;
  } examples[] = {{"", ""},
                  {"f", "Zg=="},
                  {"fo", "Zm8="},
                  {"foo", "Zm9v"},
                  {"foob", "Zm9vYg=="},
                  {"fooba", "Zm9vYmE="},
                  {"foobar", "Zm9vYmFy"}};
  for (const auto& example : examples) {
    STRCMP_EQUAL(example.text, Encode(example.bytes).c_str());
    STRCMP_EQUAL(example.bytes, DecodeBase64(example.text).value_or("refused").c_str());
  }
}

TEST(Base64, EncodingAppends) {
  std::string out = "base64:";
  AppendBase64("foo", &out);
  STRCMP_EQUAL("base64:Zm9v", out.c_str());
}

TEST(Base64, EveryByteSurvives) {
  std::string bytes;
  for (int i = 0; i < 256; i++) bytes += static_cast<char>(i);
  CHECK_TRUE(DecodeBase64(Encode(bytes)) == bytes);
}

TEST(Base64, RefusesWhatIsNotCanonical) {
  for (const char* text : {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n", "Zm9v=", "=",
                           "Zm-_", "Zg==Zg=="}) {
    CHECK_FALSE_TEXT(DecodeBase64(text).has_value(), text);
  }
  CHECK_FALSE(DecodeBase64(std::string_view("Zm9\0", 4)).has_value());
}
