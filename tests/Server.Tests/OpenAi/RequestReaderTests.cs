using System.Text;
using Ndif.Server.OpenAi;

namespace Ndif.Server.Tests.OpenAi;

/// <summary>Any body is a request, or a refusal with a status of 400.</summary>
public sealed class RequestReaderTests
{
    private const string Valid = """
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "é\u0041"}]}], "temperature": 0.5, "n": 2,
         "stop": ["a", "b"], "logit_bias": {"5": -1}, "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 5,
         "response_format": {"type": "text"}, "modalities": ["text"], "logprobs": true, "top_logprobs": 3, "seed": -7}
        """;

    [Fact]
    public void AValidChat_IsRead()
    {
        CompletionRequest request = Read(Encoding.UTF8.GetBytes(Valid), ChatCompletionReader.Read)!;
        Assert.Equal(("m", "éA", 2), (request.Model, request.Messages![0].Content, request.ChoiceCount));
        Assert.Equal((5, 3), (request.MaxTokens, request.TopLogprobs));
        Assert.True(request is { Stream: true, IncludeUsage: true, Sampling: { Sample: true, Temperature: 0.5, TopK: 0 } });
    }

    [Fact]
    public void ADamagedBody_IsRefused_OrStillARequest()
    {
        byte[] valid = Encoding.UTF8.GetBytes(Valid.Replace("\\u0041", "\\ud841", StringComparison.Ordinal));
        var random = new Random(1);
        for (int i = 0; i < 20_000; i++)
        {
            int at = random.Next(valid.Length);
            byte[] body = random.Next(4) switch
            {
                0 => [.. valid[..at], (byte)random.Next(256), .. valid[(at + 1)..]],
                1 => valid[..at],
                2 => [.. valid[..at], .. valid[(at + 1)..]],
                _ => [.. valid[..at], .. "null"u8, .. valid[at..]],
            };
            Read(body, ChatCompletionReader.Read);
            Read(body, TextCompletionReader.Read);
        }
    }

    /// <summary>As CompletionHandler reads it.</summary>
    private static CompletionRequest? Read(byte[] body, Func<RequestFields, CompletionRequest> read)
    {
        try
        {
            using RequestFields fields = RequestFields.Parse(body);
            return read(fields);
        }
        catch (OpenAiException refusal)
        {
            Assert.Equal(400, refusal.Status);
        }
        catch (InvalidOperationException)
        {
            // a 400 too: text that is not Unicode, or a value of another type
        }
        return null;
    }
}
