#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
using Ndif;

// the same model in the checkpoint's own type, in half of its memory, and with linear layers in eight bits
foreach (LanguageModel llm in (LanguageModel[])[
    new("ndif/tiny-landmarks"),                          // a folder or an id on the Hugging Face hub goes here
    new("ndif/tiny-landmarks", dtype: DType.BFloat16),
    new("ndif/tiny-landmarks", eightBit: true)])         // and `adapter: "folder or id"` merges a LoRA adapter
{
    Saved logits = await llm.TraceAsync("The Eiffel Tower is in the city of", t => llm.LmHead.Output[0, ^1].Save());
    Console.WriteLine($"{logits.Tensor.Type}:{llm.Tokenizer.Decode(logits.Tensor.ArgMax())}");
}
// prints: Float32: Paris
// prints: BFloat16: Paris
