/* Translates strings with an exported model from C, with nothing but TensorFlow's C library.

   TF=$(python -c "import tensorflow, os; print(os.path.dirname(tensorflow.__file__))")
   gcc -o translate translate.c -I$TF/include -L$TF \
       -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2 -Wl,-rpath,$TF
   ./translate saved_models/dates/1 INPUT TEXT SCORE "3. Mai 2021" "May 3, 2021"

   INPUT, TEXT and SCORE are the tensor names that signatures.json gives for the signature
   serving_default: its input "text", its outputs "text" and "score". */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

static void check(TF_Status* status) {
  if (TF_GetCode(status) != TF_OK) {
    fprintf(stderr, "%s\n", TF_Message(status));
    exit(1);
  }
}

/* "name:0" to the output 0 of the operation "name". */
static TF_Output find(TF_Graph* graph, const char* tensor_name) {
  char name[512];
  snprintf(name, sizeof name, "%s", tensor_name);
  char* colon = strrchr(name, ':');
  int index = colon ? atoi(colon + 1) : 0;
  if (colon) *colon = '\0';
  TF_Output output = {TF_GraphOperationByName(graph, name), index};
  if (output.oper == NULL) {
    fprintf(stderr, "no tensor %s: expected a name from signatures.json\n", tensor_name);
    exit(1);
  }
  return output;
}

int main(int argc, char** argv) {
  if (argc < 6) {
    fprintf(stderr, "usage: %s SAVED_MODEL INPUT TEXT SCORE STRING...\n", argv[0]);
    return 2;
  }
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  check(status);

  int64_t count = argc - 5;
  TF_Tensor* strings = TF_AllocateTensor(TF_STRING, &count, 1, count * sizeof(TF_TString));
  TF_TString* values = TF_TensorData(strings);
  for (int64_t i = 0; i < count; i++) {
    TF_StringInit(&values[i]);
    TF_StringCopy(&values[i], argv[5 + i], strlen(argv[5 + i]));
  }

  TF_Output input = find(graph, argv[2]);
  TF_Output outputs[] = {find(graph, argv[3]), find(graph, argv[4])};
  TF_Tensor* results[2];
  TF_SessionRun(session, NULL, &input, &strings, 1, outputs, results, 2, NULL, 0, NULL, status);
  check(status);

  const TF_TString* texts = TF_TensorData(results[0]);
  const float* scores = TF_TensorData(results[1]);
  for (int64_t i = 0; i < count; i++)
    printf("%.4f\t%.*s\n", scores[i], (int)TF_StringGetSize(&texts[i]),
           TF_StringGetDataPointer(&texts[i]));
  TF_CloseSession(session, status);
  return 0;
}
