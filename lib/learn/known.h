/* SPDX-License-Identifier: MIT */
/* lib/learn/known.h: from how alike the pictures of a class are to the cosine from which on it is known. Pure functions;
 * doc/LEARNER.md, "Unknown". */
#pragma once

#include "lib/learn/learn.h"

/* m(rho, r) = rho sqrt(r) / sqrt(1 + (r - 1) rho): the cosine of a picture with the sum of r others, where that of two
 * pictures is pair; pair 0 to 1, r >= 1. And its inverse in rho: 0 for a cosine up to 0, 1 from 1 on. */
double known_cosine(double pair, double r);
double known_pair(double cosine, double r);
/* l = sqrt(rho + (1 - rho) / r): the length of the mean of r unit pictures. */
double known_length(double pair, double r);

/* t_c of a class. others: the mean cosine of a picture of it with one of another class (f_c); has_others false: there is no
 * other class. It is read of a class of one picture alone: of more their own pictures tell. */
double known_threshold(const struct learn_likeness *own, bool has_others, double others,
	const struct learn_answer_constants *constants);

/* What rows of version 1 say of a class: past pictures made the row, of n the cosines with a row that they did not make are
 * known (n 0: of none). squares >= 0. past 0 stays 0. */
struct learn_likeness known_upgrade(uint32_t past, uint32_t n, double mean, double squares);
