using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>
/// A layer's self-attention for when nobody watches inside. Between its stages nothing is a tensor.
/// <code>
/// 1. project      queries, keys and values of all tokens                             each core some of the outputs
/// 2. append       norm and rotate the keys; they and the values go to the cache      each core some of the heads;
/// 3. attend       norm and rotate the queries; scores, softmax, mixture              for a few tokens one stage with 2
/// 4. project      the mixture                                                        each core some of the outputs
/// </code>
/// </summary>
/// <remarks>
/// Rounds where the plain forward does (src/Models/Layers/EagerAttention.cs), so that a bfloat16 model's numbers are those of the plain
/// forward up to the order of sums.
/// </remarks>
internal sealed unsafe class FusedAttention(SiteModule owner, int layer, int heads, int groups, int width, double scale)
{
    /// <summary>Queries at a time: their scores against a thousand keys stay in the second cache.</summary>
    private const int Block = 64;

    /// <summary>Attention with fewer multiplications than this is not worth a second core.</summary>
    private const long Alone = 1 << 14;

    /// <summary>Queries, keys and values: one matrix for each, or one for all.</summary>
    public required IReadOnlyList<ILinear> Projections { get; init; }

    public required ILinear Output { get; init; }

    /// <summary>Where a head's numbers stand in what the projections give for a token; by default all queries, all keys, all values.</summary>
    public HeadPlaces Places { get; init; } = HeadPlaces.Apart(heads, groups, width);

    /// <summary>Of each head's queries, before they are rotated.</summary>
    public INorm? QueryNorm { get; init; }

    /// <summary>Of each head's keys.</summary>
    public INorm? KeyNorm { get; init; }

    /// <summary>The norms are of all heads' numbers together, not of each head's.</summary>
    public bool NormsTogether { get; init; }

    /// <summary>Scores are bent to stay between -cap and cap, if given.</summary>
    public double? Cap { get; init; }

    /// <summary>Scores are computed in float32 whatever the dtype.</summary>
    public bool Precise { get; init; }

    /// <summary>Queries are multiplied by this before anything else.</summary>
    public double QueryScale { get; init; } = 1;

    /// <param name="hidden">[rows, tokens, width]</param>
    /// <param name="mask">[rows, 1, tokens, keys], added to the scores</param>
    /// <param name="positions">Cosines and sines, each [rows, tokens, rotated width], or null to rotate nothing.</param>
    /// <returns>
    /// Output [rows, tokens, width] and, where someone could see them, probabilities [rows, heads, tokens, keys]; null if the plain
    /// forward has to run.
    /// </returns>
    [Shortcut]
    public object?[]? Run(Tensor hidden, KeyValueCache? cache, Tensor mask, object?[]? positions = null)
    {
        if (!Products.Suits(hidden) || hidden.dim() != 3 || width % 16 != 0 || width > 1024 || SiteObserver.IsWatchedWithin(owner)) return null;
        var pass = new Pass
        {
            Type = hidden.dtype, Rows = (int)hidden.size(0), Tokens = (int)hidden.size(1), Cached = (int)(cache?.Length ?? 0),
            Round = hidden.dtype == ScalarType.BFloat16, Total = (int)Places.Total,
        };
        if (!Fits(hidden, mask, positions, ref pass)) return null;
        int count = pass.Rows * pass.Tokens;
        if (count > Products.MostRows(pass.Type)) return null;
        if (QueryNorm is not null && (pass.QueryNorm = QueryNorm.View(pass.Type)) is null) return null;
        if (KeyNorm is not null && (pass.KeyNorm = KeyNorm.View(pass.Type)) is null) return null;
        if (Output.View is not { } output || output.Type != pass.Type || output.Inputs != heads * width) return null;

        if (!Project(hidden, count, ref pass)) return null;
        if (NormsTogether) NormAll(count, ref pass);
        pass.Mixed = Scratch.Floats(4, (long)count * heads * width);
        if (cache is not null)
        {
            var (keys, values) = cache.Reserve(layer, pass.Rows, groups, pass.Tokens, width, pass.Type);
            if (keys.size(0) != pass.Rows || keys.size(1) != groups || keys.size(3) != width || keys.dtype != pass.Type) throw new InvalidOperationException("The cache was filled by another model.");
            (pass.Keys, pass.Values, pass.Capacity) = (NativeTensor.Data(keys.Handle), NativeTensor.Data(values.Handle), (int)keys.size(2));
        }
        else
        {
            long size = (long)pass.Rows * groups * pass.Tokens * width; // as many numbers, of whichever type
            pass.Keys = (nint)Scratch.Floats(5, 2 * size);
            (pass.Values, pass.Capacity) = (pass.Keys + (nint)(size * sizeof(float)), pass.Tokens);
        }
        Tensor? probabilities = IsSeen() ? zeros([pass.Rows, heads, pass.Tokens, pass.KeyCount], pass.Type) : null;
        if (probabilities is not null) pass.Probabilities = NativeTensor.Data(probabilities.Handle);
        Attend(pass);

        Tensor result = empty([pass.Rows, pass.Tokens, output.Outputs], pass.Type);
        Products.Multiply(output, pass.Mixed, count, NativeTensor.Data(result.Handle));
        Shortcuts.Taken++;
        return [result, probabilities];
    }

    private bool Fits(Tensor hidden, Tensor mask, object?[]? positions, ref Pass pass)
    {
        if (mask.dim() != 4 || mask.dtype != pass.Type || !mask.is_contiguous() || mask.size(0) != pass.Rows || mask.size(1) != 1 || mask.size(2) != pass.Tokens) return false;
        pass.KeyCount = (int)mask.size(3);
        if (pass.KeyCount != pass.Cached + pass.Tokens) return false;
        pass.Mask = NativeTensor.Data(mask.Handle);
        if (positions is null) return true;
        if (positions is not [Tensor cosines, Tensor sines]) return false;
        pass.Rotated = (int)cosines.size(-1);
        foreach (Tensor part in (ReadOnlySpan<Tensor>)[cosines, sines])
            if (part.dim() != 3 || part.dtype != pass.Type || !part.is_contiguous() || part.size(0) != pass.Rows || part.size(1) != pass.Tokens || part.size(2) != pass.Rotated) return false;
        if (pass.Rotated > width || pass.Rotated % 2 != 0) return false;
        (pass.Cosines, pass.Sines) = (NativeTensor.Data(cosines.Handle), NativeTensor.Data(sines.Handle));
        return true;
    }

    /// <summary>Someone watches this module or one it stands in, and may look at the second element of what it gives.</summary>
    private bool IsSeen()
    {
        SiteModule? at = owner;
        for (int i = 0; i < 3 && at is not null; i++, at = at.Parent)
            if (SiteObserver.Of(at.Index) is not null) return true;
        return false;
    }

    /// <summary>Stage 1: all projections, one token's numbers beside each other.</summary>
    private bool Project(Tensor hidden, int count, ref Pass pass)
    {
        int total = pass.Total, at = 0;
        var views = new WeightView[Projections.Count];
        var from = new int[views.Length + 1];
        for (int i = 0; i < views.Length; i++)
        {
            if (Projections[i].View is not { } view || view.Type != pass.Type || view.Inputs != hidden.size(2)) return false;
            (views[i], from[i]) = (view, at);
            at += view.Outputs;
        }
        if (at != total) return false;
        float* together = Scratch.Floats(1, (long)count * total);
        pass.Projected = together;
        bool round = pass.Round;
        using Tensor x = hidden.contiguous();
        InputRows rows = InputRows.Of(x, views[0]);
        var parts = new int[views.Length];
        for (int i = 0; i < views.Length; i++) parts[i] = views[i].Parts(count);
        Crew.Run(parts.Sum(), part =>
        {
            int which = 0;
            while (part >= parts[which]) part -= parts[which++];
            var (first, last) = views[which].Part(part, parts[which]);
            float* y = together + from[which];
            views[which].Multiply(rows, y, total, first, last);
            if (round)
                for (int m = 0; m < count; m++) Curves.Round(y + (long)m * total + first, last - first);
        }, views[0].Address);
        GC.KeepAlive(x);
        return true;
    }

    /// <summary>Norms the queries, and the keys, of a token as one row each; nothing is left to norm then.</summary>
    private void NormAll(int count, ref Pass pass)
    {
        float* together = pass.Projected;
        RowNorm? queries = pass.QueryNorm, keys = pass.KeyNorm;
        int total = pass.Total;
        for (int m = 0; m < count; m++)
        {
            float* q = together + (long)m * total, k = q + heads * width;
            queries?.Apply(q, q, heads * width);
            keys?.Apply(k, k, groups * width);
        }
        (pass.QueryNorm, pass.KeyNorm) = (null, null);
    }

    /// <summary>Stages 2 and 3.</summary>
    private void Attend(Pass pass)
    {
        int each = heads / groups, block = Math.Max(1, Block / each), all = pass.Rows * groups;
        if (pass.Tokens <= block)
        {
            bool alone = (long)pass.Rows * pass.Tokens * pass.KeyCount * heads * width < Alone;
            Crew.Run(alone ? 1 : all, part =>
            {
                for (int i = part; i < (alone ? all : part + 1); i++)
                {
                    Append(pass, i / groups, i % groups);
                    Attend(pass, i / groups, i % groups, 0, pass.Tokens);
                }
            });
            return;
        }
        int blocks = (pass.Tokens + block - 1) / block;
        Crew.Run(all, part => Append(pass, part / groups, part % groups));
        Crew.Run(all * blocks, part =>
        {
            int at = part / blocks, first = part % blocks * block;
            Attend(pass, at / groups, at % groups, first, Math.Min(first + block, pass.Tokens));
        });
    }

    /// <summary>Stage 2, for one head of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Append(Pass pass, int row, int group)
    {
        float* key = stackalloc float[width];
        for (int token = 0; token < pass.Tokens; token++)
        {
            float* projected = pass.Projected + ((long)row * pass.Tokens + token) * pass.Total;
            new Span<float>(projected + Places.Key(group), width).CopyTo(new Span<float>(key, width));
            if (pass.KeyNorm is { } norm) norm.Apply(key, key, width);
            Rotate(pass, key, row, token);
            long slot = ((long)(row * groups + group) * pass.Capacity + pass.Cached + token) * width;
            if (pass.Round)
            {
                BFloat16.Narrow(key, (ushort*)pass.Keys + slot, width);
                BFloat16.Narrow(projected + Places.Value(group), (ushort*)pass.Values + slot, width);
            }
            else
            {
                new Span<float>(key, width).CopyTo(new Span<float>((float*)pass.Keys + slot, width));
                new Span<float>(projected + Places.Value(group), width).CopyTo(new Span<float>((float*)pass.Values + slot, width));
            }
        }
    }

    /// <summary>Stage 3, for the heads of one row that share keys, and some of the tokens.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Attend(Pass pass, int row, int group, int first, int last)
    {
        long seenBy = ((long)row * pass.Tokens + first) * pass.KeyCount;
        var (from, to) = pass.Round ? HeadKernels.Visible<BFloat16>((byte*)((ushort*)pass.Mask + seenBy), last - first, pass.KeyCount)
            : HeadKernels.Visible<Float32>((byte*)((float*)pass.Mask + seenBy), last - first, pass.KeyCount);
        int each = heads / groups, tokens = last - first, queries = each * tokens, keys = to - from, pitch = (keys + 15) / 16 * 16;
        bool pairs = keys >= 64 && PairKernels.Suits(pass.Type, queries); // fewer keys than a panel has room for are not worth one
        float* query = Scratch.Floats(2, (long)queries * (2 * width + pitch)), mixed = query + (long)queries * width, scores = mixed + (long)queries * width;
        for (int i = 0; i < queries; i++)
        {
            int token = first + i % tokens;
            float* own = query + (long)i * width;
            new Span<float>(pass.Projected + ((long)row * pass.Tokens + token) * pass.Total + Places.Query(group * each + i / tokens), width).CopyTo(new Span<float>(own, width));
            if (QueryScale != 1)
            {
                for (int d = 0; d < width; d++) own[d] *= (float)QueryScale;
                if (pass.Round) Curves.Round(own, width);
            }
            if (pass.QueryNorm is { } norm) norm.Apply(own, own, width);
            Rotate(pass, own, row, token);
        }
        new Span<float>(mixed, queries * (width + pitch)).Clear();
        long slots = ((long)(row * groups + group) * pass.Capacity + from) * width;
        if (pairs) PairKernels.Multiply(Halves(query, width, queries, width, columns: false), (ushort*)pass.Keys + slots, null, columns: false, queries, width, keys, scores, null, pitch, 0, keys);
        else if (pass.Round) RowKernels.Add<BFloat16>(query, (byte*)((ushort*)pass.Keys + slots), queries, width, scores, pitch, 0, keys);
        else RowKernels.Add<Float32>(query, (byte*)((float*)pass.Keys + slots), queries, width, scores, pitch, 0, keys);
        for (int i = 0; i < queries; i++)
        {
            int head = group * each + i / tokens, token = first + i % tokens;
            long at = (long)row * pass.Tokens + token;
            if (pass.Round) HeadKernels.Softmax<BFloat16>(scores + (long)i * pitch, (byte*)((ushort*)pass.Mask + at * pass.KeyCount + from), keys, scale, Cap, Precise);
            else HeadKernels.Softmax<Float32>(scores + (long)i * pitch, (byte*)((float*)pass.Mask + at * pass.KeyCount + from), keys, scale, Cap, Precise);
            if (pass.Probabilities == 0) continue; // where they are wanted they were made of zeros
            long seen = (((long)row * heads + head) * pass.Tokens + token) * pass.KeyCount + from;
            if (pass.Round) BFloat16.Narrow(scores + (long)i * pitch, (ushort*)pass.Probabilities + seen, keys);
            else new Span<float>(scores + (long)i * pitch, keys).CopyTo(new Span<float>((float*)pass.Probabilities + seen, keys));
        }
        if (pairs) PairKernels.Multiply(Halves(scores, pitch, queries, keys, columns: true), (ushort*)pass.Values + slots, null, columns: true, queries, keys, width, mixed, null, width, 0, width);
        else if (pass.Round) ColumnKernels.Add<BFloat16>(scores, pitch, (byte*)((ushort*)pass.Values + slots), queries, keys, width, mixed, width, 0, width);
        else ColumnKernels.Add<Float32>(scores, pitch, (byte*)((float*)pass.Values + slots), queries, keys, width, mixed, width, 0, width);
        for (int i = 0; i < queries; i++)
        {
            float* own = mixed + (long)i * width;
            if (pass.Round) Curves.Round(own, width);
            new Span<float>(own, width).CopyTo(new Span<float>(pass.Mixed + (((long)row * pass.Tokens + first + i % tokens) * heads + group * each + i / tokens) * width, width));
        }
    }

    private static ushort* Halves(float* x, long pitch, int rows, int inputs, bool columns)
    {
        ushort* halves = PairKernels.NewRows(rows, inputs, columns);
        PairKernels.Take(x, pitch, rows, inputs, columns, halves, 0, rows);
        return halves;
    }

    /// <summary>x cos + rotate_half(x) sin for the first part of a head's width.</summary>
    private static void Rotate(Pass pass, float* x, int row, int token)
    {
        if (pass.Rotated == 0) return;
        int half = pass.Rotated / 2;
        long at = ((long)row * pass.Tokens + token) * pass.Rotated;
        if (pass.Round) HeadKernels.Rotate<BFloat16>(x, half, (byte*)pass.Cosines + 2 * at, (byte*)pass.Sines + 2 * at);
        else HeadKernels.Rotate<Float32>(x, half, (byte*)pass.Cosines + 4 * at, (byte*)pass.Sines + 4 * at);
    }

    /// <summary>What the stages of one call share.</summary>
    private struct Pass
    {
        public ScalarType Type;
        public bool Round;
        public int Rows, Tokens, Cached, KeyCount, Capacity, Rotated, Total;
        public nint Mask, Cosines, Sines, Keys, Values, Probabilities;
        public float* Projected, Mixed;
        public RowNorm? QueryNorm, KeyNorm;
    }
}
