/* Whisper on a CPU: the plain C face of libautorag_whisper_cpu.
 *
 * Conventions
 * - Every function that can fail returns an awc_status and, where `error` is not NULL, writes one line of text into it.
 *   No C++ exception leaves the library. On failure nothing is written to the outputs that the caller may rely on, and
 *   nothing stays allocated.
 * - A call computes in the caller's thread alone. Calls of several threads on one model run at the same time; a model and
 *   an audio are read-only once they are made. There is no global state.
 * - Arguments are never changed, and nothing is kept of them after the call but what a handle is documented to hold.
 * - `cancel` may be NULL. Otherwise it is read, as an atomic, before every layer of the encoder and before every step of
 *   the decoder: once it is not 0 the call returns AWC_CANCELLED.
 * - Arrays are C-contiguous, the last index runs fastest. "frames" are the encoder's, 20 ms each, unless called mel
 *   frames, 10 ms each.
 */
#ifndef AUTORAG_WHISPER_CPU_H
#define AUTORAG_WHISPER_CPU_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define AWC_API __declspec(dllexport)
#else
#define AWC_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define AWC_ABI 3 /* changes with any change of this file that a caller would notice */
#define AWC_MESSAGE 256
#define AWC_MAX_MEL_FRAMES 3000 /* 30 s */
#define AWC_CONTEXT 448         /* tokens that the decoder has positions for */
#define AWC_MAX_HYPOTHESES 100  /* of one search: as many as TranscribeOptions allows */

typedef enum awc_status {
  AWC_OK = 0,
  AWC_INVALID_ARGUMENT = 1, /* sizes or tokens out of range: a fault of the caller */
  AWC_BAD_WEIGHTS = 2,      /* tensors are missing, of other shapes, not finite, or not Whisper's */
  AWC_OUT_OF_MEMORY = 3,
  AWC_CANCELLED = 4,
  AWC_UNSUPPORTED = 5, /* this processor lacks the instructions that were asked for */
  AWC_INTERNAL = 6     /* a fault of this library */
} awc_status;

typedef struct awc_error {
  char message[AWC_MESSAGE]; /* UTF-8, ends with NUL */
} awc_error;

AWC_API int32_t awc_abi(void);

/* ------------------------------------------------------------------------------------------------ instruction sets */

/* The instruction set that is chosen for `name`, or for NULL or "" the best one here: "scalar", "avx2", "avx_vnni",
 * "avx512_vnni", "avx512_bf16", "neon_dotprod". NULL where this build or this processor has none of that name. */
AWC_API const char *awc_instruction_set(const char *name);

/* ----------------------------------------------------------------------------------------------------------- model */

typedef enum awc_type { AWC_FLOAT32 = 0, AWC_INT8 = 1, AWC_FLOAT16 = 4, AWC_BFLOAT16 = 5 } awc_type;

/* One array of the weights, under the name that CTranslate2's converter gives it ("encoder/conv1/weight"). */
typedef struct awc_tensor {
  const char *name;
  int32_t type; /* an awc_type */
  int32_t rank; /* 0..4 */
  int64_t shape[4];
  const void *data; /* read during awc_model_new only; any alignment */
  size_t bytes;
} awc_tensor;

/* Token ids that searches and alignments need. */
typedef struct awc_tokens {
  int32_t start_of_transcript;
  int32_t end_of_text; /* text tokens are those below it */
  int32_t no_speech;
  int32_t no_timestamps;
} awc_tokens;

/* Read off the weights. */
typedef struct awc_shape {
  int32_t mels;  /* 80 or 128 */
  int32_t width; /* d: 384 tiny .. 1280 large; 64 for each head */
  int32_t heads;
  int32_t encoder_layers;
  int32_t decoder_layers;
  int32_t vocabulary;
  int32_t max_frames; /* 1500 */
  int32_t context;    /* 448 */
} awc_shape;

typedef struct awc_model awc_model;

/* Check the tensors, and pack a copy of them for this processor. Linear weights and embeddings are int8[out, in] with
 * NAME_scale float32[out] (the number of int8 steps in 1, as CTranslate2 has it), or floats, which are then quantised
 * like that. Tensors of other names are ignored. `instruction_set` as for awc_instruction_set. */
AWC_API awc_status awc_model_new(const awc_tensor *tensors, size_t count, const awc_tokens *tokens,
                                 const char *instruction_set, awc_model **model, awc_error *error);
/* No call on it may be running. NULL is fine. */
AWC_API void awc_model_free(awc_model *model);
AWC_API void awc_model_shape(const awc_model *model, awc_shape *shape);
AWC_API const char *awc_model_instruction_set(const awc_model *model);

/* ---------------------------------------------------------------------------------------------------------- memory */

/* Bytes of a packed model of this shape for the best instruction set here, told before it is loaded: within 2 % of what
 * awc_model_bytes tells after. */
AWC_API size_t awc_model_bytes_for(const awc_shape *shape);
/* Bytes that the model holds now, work space kept from earlier calls included. */
AWC_API size_t awc_model_bytes(const awc_model *model);
/* Bytes of one awc_audio of so many frames. */
AWC_API size_t awc_audio_bytes(const awc_model *model, int32_t frames);
/* Most bytes that one awc_encode of a window of so many mel frames takes on top of its output. */
AWC_API size_t awc_encode_bytes(const awc_model *model, int32_t mel_frames);
/* Most bytes that one awc_generate takes on top of its audios: rows searched at once, hypotheses of each (beams or
 * samples), longest prompt, new tokens. The self-attention caches of the worst case; most searches take a tenth. */
AWC_API size_t awc_generate_bytes(const awc_model *model, int32_t rows, int32_t hypotheses, int32_t prompt_tokens,
                                  int32_t new_tokens);
/* Give work space that is kept for the next calls back to the system. May be called at any time. */
AWC_API void awc_model_trim(awc_model *model);

/* --------------------------------------------------------------------------------------------------------- encoder */

/* Encode one window: mel float32[mels, mel_frames], mel_frames even, 2..3000 -> output float32[mel_frames / 2, width].
 * The length is the window's own: nothing is padded, and windows of any lengths follow one another. */
AWC_API awc_status awc_encode(awc_model *model, const float *mel, int32_t mel_frames, const int32_t *cancel,
                              float *output, awc_error *error);

/* What the decoder attends to: 8-bit keys and values of one window for every layer of the decoder, made once from the
 * encoder's output and used by any number of calls. It belongs to the model that made it and must not outlive it. */
typedef struct awc_audio awc_audio;

/* encoded: float32[frames, width], frames 1..1500; also a part of a window, or every n-th frame of one. */
AWC_API awc_status awc_audio_new(awc_model *model, const float *encoded, int32_t frames, const int32_t *cancel,
                                 awc_audio **audio, awc_error *error);
/* No call on it may be running. NULL is fine. */
AWC_API void awc_audio_free(awc_audio *audio);

/* --------------------------------------------------------------------------------------------------------- decoder */

/* Probabilities of `count` tokens straight after the start of transcript, among each other: float32[rows, count]; with
 * the tokens of languages that is language detection. */
AWC_API awc_status awc_first_token_probabilities(awc_model *model, const awc_audio *const *audios, int32_t rows,
                                                 const int32_t *tokens, int32_t count, const int32_t *cancel,
                                                 float *probabilities, awc_error *error);

/* How texts are searched for. temperature 0 and one hypothesis is greedy search, more are a beam search; above 0 that
 * many texts are sampled of each row, and the one with the best score is given. All as CTranslate2 4 has it. */
typedef struct awc_search {
  int32_t hypotheses;     /* beams or samples, 1..100 */
  float temperature;      /* >= 0 */
  uint64_t seed;          /* decides the samples of a row, wherever in a batch it stands */
  float patience;         /* > 0: a beam search ends at round(hypotheses * patience) finished texts (at least 1) */
  float length_penalty;   /* scores are divided by length to this power */
  float repetition_penalty;         /* > 0; 1: none */
  int32_t no_repeat_ngram;          /* 0: none */
  int32_t max_new_tokens;           /* 1..448, a prefix included; less where a prompt leaves less room */
  const int32_t *suppressed;        /* never written; their probability is 0 for the others too */
  int32_t suppressed_count;
  const int32_t *suppressed_first;  /* not the first after a prefix (blanks) */
  int32_t suppressed_first_count;
} awc_search;

/* Text of every row. Each array has a row for each row of the batch; any but `tokens` and `lengths` may be NULL. */
typedef struct awc_texts {
  int32_t capacity;     /* columns of tokens, log_probabilities, text_probabilities: at least max_new_tokens */
  int32_t *tokens;      /* [rows, capacity] without the end of text, those of a prefix first */
  int32_t *lengths;     /* [rows] */
  float *totals;        /* [rows] sum of the log-probabilities, the end of text included where it was written */
  float *scores;        /* [rows] totals / length ** length_penalty; of no token: -infinity, as CTranslate2 has it */
  int32_t *finished;    /* [rows] 1: the end of text was written; 0: there was no room for more */
  float *no_speech;     /* [rows] probability of the no-speech token after the start of transcript, 0..1 */
  float *log_probabilities;  /* [rows, capacity] of each token, among all that are not suppressed; 0 for a prefix */
  float *text_probabilities; /* [rows, capacity] of each token among the text tokens that are not suppressed, 0..1;
                                0 for any other token and for a prefix */
} awc_texts;

/* Decode rows at once; each with its prompt, of any length: prompts int32[sum of prompt_lengths], one after another.
 * A prompt is [earlier text] start_of_transcript [language task] no_timestamps [prefix]. It has 1..447 tokens. */
AWC_API awc_status awc_generate(awc_model *model, const awc_audio *const *audios, int32_t rows, const int32_t *prompts,
                                const int32_t *prompt_lengths, const awc_search *search, const int32_t *cancel,
                                awc_texts *texts, awc_error *error);

/* Where each text token is heard: teacher forcing of  start[start_count] no_timestamps text[text_count] end_of_text,
 * attention of the heads [head_count, 2] (layer, head) to the first `frames` frames, normalised over tokens, median
 * filter (odd width) over frames, mean over heads, dynamic time warping; as CTranslate2's `align`.
 * starts: int32[text_count + 1], non-decreasing, the last is the text's end.
 * probabilities: float32[text_count] among the text tokens, or NULL: then the decoder stops at the last head's layer. */
AWC_API awc_status awc_align(awc_model *model, const awc_audio *audio, const int32_t *start, int32_t start_count,
                             const int32_t *text, int32_t text_count, int32_t frames, const int32_t *heads,
                             int32_t head_count, int32_t median_filter, const int32_t *cancel, int32_t *starts,
                             float *probabilities, awc_error *error);

/* Logits after each of `count` tokens, teacher forcing: float32[count, vocabulary]. For tests and the self-test. */
AWC_API awc_status awc_forced_logits(awc_model *model, const awc_audio *audio, const int32_t *tokens, int32_t count,
                                     const int32_t *cancel, float *logits, awc_error *error);

/* --------------------------------------------------------------------------------------------------------- letters */

/* What hears letters in the encoder's output, and where the letters of a text are heard. It belongs to no model. */
typedef struct awc_letters awc_letters;

/* A classifier of frames: tensors "mean" and "spread" [width], by which a frame is normalised, "hidden/weight"
 * [hidden, 3 * width] (of the frame before, the frame, the one behind), "hidden/bias" [hidden], "output/weight"
 * [symbols, hidden], "output/bias" [symbols]. Floats, or int8 with scales as for awc_model_new. Hidden weights become
 * int8, one scale for each hidden unit; all other numbers keep their 32 bits. */
AWC_API awc_status awc_letters_new(const awc_tensor *tensors, size_t count, const char *instruction_set,
                                   awc_letters **letters, awc_error *error);
/* No call on it may be running. NULL is fine. */
AWC_API void awc_letters_free(awc_letters *letters);

/* encoded: float32[frames, width], any number of frames -> float32[frames, symbols], natural logarithms of probabilities.
 * The first frame stands before itself, the last one behind itself. A frame in which a value is not finite, and those beside
 * it, are not numbers. */
AWC_API awc_status awc_letters_hear(const awc_letters *letters, const float *encoded, int32_t frames,
                                    float *log_probabilities, awc_error *error);

/* The likeliest path through states that are in order: each frame is in one of them, none in an earlier one than the frame
 * before. sounds: float32[frames, columns], how likely they are in nats; column: int32[states], the one of each state.
 * paid: float32[states + 1]: to go from r on to s costs paid[s] - paid[r + 1]; before the first frame r is -1, behind the
 * last one s is `states`. entry: float32[states], what each costs that comes from another one.
 * path: int32[frames], the state of each; likelihood: of them all. Of equal paths the one that stays in a state, then the
 * one from the earliest state, looked at from the end. 4 * frames * states bytes while it computes. */
AWC_API awc_status awc_best_path(const float *sounds, int32_t frames, int32_t columns, const int32_t *column, int32_t states,
                                const float *paid, const float *entry, int32_t *path, float *likelihood, awc_error *error);

#ifdef __cplusplus
}
#endif
#endif
